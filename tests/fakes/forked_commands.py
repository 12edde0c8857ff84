"""`llem-cli` in processes that are forked where it is imported already, instead of new ones."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_SERVER = Path(__file__).with_name("fork_server.py")
_AT_START = re.compile(
    r"(LD_|PYTHON|LC_|MALLOC_|GLIBC_)|(LANG|LANGUAGE|LOCPATH|GCONV_PATH|TZ|\w+_proxy|\w+_PROXY)$"
)
"""What the loader, the C library and the interpreter read when they start, and altair."""


class ForkedCommands:
    """Starts commands like `subprocess.run`, with the exit codes, signals and output of real processes.

    What a new process has, and one of these has not, is an interpreter that starts. So
    `can_start` is false where that could make a difference.
    """

    def __init__(self) -> None:
        """Start the server; importing takes it a second."""
        self._orders, theirs = socket.socketpair()
        self._environment = dict(os.environ)
        self._server = subprocess.Popen(
            [sys.executable, _SERVER, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            # Streams that are pipes, as those of its commands.
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        with self._orders.makefile("rb") as file:
            read = file.readline()
        if not read:
            self._server.kill()
            raise RuntimeError(self._server.communicate()[1].decode())
        self._read = frozenset(json.loads(read))

    def can_start(self, environment: Mapping[str, str]) -> bool:
        """Return whether a process with these variables is the same, forked or new.

        It is if each variable that was read before the fork has the value that it had then.
        """
        changed = {
            name
            for name in {*environment, *self._environment}
            if environment.get(name) != self._environment.get(name)
        }
        return not any(
            name in self._read or "*" in self._read or _AT_START.match(name) for name in changed
        )

    def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        timeout: float,
    ) -> subprocess.CompletedProcess[str]:
        """Run `python ARGUMENTS` without input, and return its exit code and output.

        Args:
            arguments: `-m MODULE ...` or `-c CODE ...`.
            cwd: its working directory.
            env: its environment, for which `can_start` is true.
            timeout: seconds after which it is killed.

        Raises:
            subprocess.TimeoutExpired: it was killed.
        """
        command = [sys.executable, *arguments]
        ours, theirs = socket.socketpair()
        pipes = [os.pipe() for _ in ("stdout", "stderr")]
        with ours, contextlib.ExitStack() as ends:
            for read, _ in pipes:
                ends.callback(os.close, read)
            with theirs:
                descriptors = [theirs.fileno(), *(write for _, write in pipes)]
                socket.send_fds(self._orders, [b"+"], descriptors)
            for _, write in pipes:
                os.close(write)
            ours.sendall(json.dumps([list(arguments), str(cwd), dict(env), _umask()]).encode())
            ours.shutdown(socket.SHUT_WR)
            ours.settimeout(timeout)  # it may close its output, and go on
            with ours.makefile("rb") as answers:
                pid = int(answers.readline())
                try:
                    output = _read_all([read for read, _ in pipes], timeout)
                    code = int(answers.readline())
                except BaseException as error:  # also Ctrl-C
                    with contextlib.suppress(ProcessLookupError):  # only what it started is left
                        os.kill(pid, signal.SIGKILL)
                    ours.settimeout(60)
                    while ours.recv(64):  # until the server has seen it end
                        pass
                    if isinstance(error, TimeoutError):
                        raise subprocess.TimeoutExpired(command, timeout) from None
                    raise
        return subprocess.CompletedProcess(command, code, *map(_text, output))

    def close(self) -> None:
        """End the server; safe to call twice."""
        self._orders.close()
        self._server.communicate()


def _umask() -> int:
    (line,) = re.findall(r"^Umask:\s*(\d+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(line, 8)


def _read_all(descriptors: Sequence[int], timeout_s: float) -> list[bytes]:
    """Return what can be read from each descriptor until its end."""
    content = {descriptor: bytearray() for descriptor in descriptors}
    deadline_s = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            for key, _ in selector.select(left_s):
                block = os.read(key.fd, 65536)
                content[key.fd] += block
                if not block:
                    selector.unregister(key.fd)
    return [bytes(content[descriptor]) for descriptor in descriptors]


def _text(content: bytes) -> str:
    """Return the text as `subprocess.run(text=True)` does."""
    return content.decode().replace("\r\n", "\n").replace("\r", "\n")
