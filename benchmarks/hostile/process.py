"""Run a command of llem in a process of its own, with limits, and judge what it did.

The process is forked from one that has imported llem already, so a case costs milliseconds. Its
streams are pipes or a terminal of 80 columns.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import pty
import resource
import select
import signal
import struct
import sys
import tempfile
import termios
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.hostile.place import FaultFound, Place
from benchmarks.hostile.strings import has_forged_line, unsafe_characters

CODES = (0, 1, 2, 130)
"""The documented exit codes."""
MAX_S = 20.0
"""A command that takes longer hangs; it is measured on busy machines."""
MAX_BYTES = 800_000_000
"""Of resident memory beyond what this process had when the command was forked from it."""
_MAX_ADDRESSES = 8_000_000_000  # bytes beyond those of this process; protects the machine
_EXIT_S = 10.0  # for processes that the command has started
_SET_CHILD_SUBREAPER = 36  # prctl(2)


class Ended(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str
    peak_bytes: int
    """Resident memory beyond that of the process from which the command was forked."""


def adopt_orphans() -> None:
    """Make processes that outlive their parents children of this process, which can see them."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def call(
    action: Callable[[], object],
    place: Place,
    *,
    terminal: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    max_s: float = MAX_S,
    max_addresses: int = _MAX_ADDRESSES,
) -> Ended:
    """Run a function in a forked process and wait for it and all processes that it starts.

    Raises:
        FaultFound: it hangs, uses too much memory, or leaves a process or a temporary file.
    """
    readers: tuple[int, ...]
    if terminal:
        reader, writer = pty.openpty()
        fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        readers, writers = (reader,), (writer, writer, writer)
    else:
        (out, out_writer), (err, err_writer) = os.pipe(), os.pipe()
        null = os.open(os.devnull, os.O_RDONLY)
        readers, writers = (out, err), (null, out_writer, err_writer)
    sys.stdout.flush()
    sys.stderr.flush()
    n_addresses, resident_bytes = _own_bytes()
    if max_addresses != resource.RLIM_INFINITY:
        max_addresses += n_addresses
    pid = os.fork()
    if pid == 0:
        environment = {**place.environment(), **(env or {})}
        _become_child(action, writers, environment, cwd or place.work, max_addresses)
    for descriptor in set(writers):
        os.close(descriptor)
    code, printed, peak_bytes = _wait(pid, readers, max_s)
    own_bytes = max(0, peak_bytes - resident_bytes)
    ended = Ended(code, printed[0], printed[-1] if not terminal else "", own_bytes)
    _check_leftovers(place)
    if own_bytes > MAX_BYTES:
        raise FaultFound(f"{own_bytes / 1e9:.1f} GB of memory")
    return ended


def command(
    place: Place,
    arguments: Sequence[str],
    *,
    terminal: bool = False,
    env: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
    codes: Sequence[int] = CODES,
    max_addresses: int = _MAX_ADDRESSES,
) -> Ended:
    """Run `llem-cli` with arguments, and judge what it did; `prepare` is called before."""

    def program() -> None:
        if prepare is not None:
            prepare()
        from llem_cli import _app

        _app.main(list(arguments))

    ended = call(
        program, place, terminal=terminal, env={"COLUMNS": "80", **(env or {})},
        max_addresses=max_addresses,
    )  # fmt: skip
    judge(ended, terminal=terminal, as_json="--json" in arguments, codes=codes)
    return ended


def judge(
    ended: Ended, *, terminal: bool = False, as_json: bool = False, codes: Sequence[int] = CODES
) -> None:
    """Check the exit code and the output of a command.

    Raises:
        FaultFound: a traceback, a control character, a forged line, invalid JSON, another code.
    """
    for text in (ended.out, ended.err):
        shown = text[-600:]
        if "Traceback (most recent" in text or "error in llem itself" in text:
            raise FaultFound(f"an error in llem itself: {shown!r}")
        if unsafe := unsafe_characters(text, terminal=terminal):
            raise FaultFound(f"control characters {sorted(unsafe)!r} in the output: {shown!r}")
        if has_forged_line(text):
            raise FaultFound(f"a forged line in the output: {shown!r}")
    if ended.code not in codes:
        raise FaultFound(f"exit code {ended.code}: {ended.err[-300:]!r}")
    if ended.code and not (ended.err or ended.out).strip():
        raise FaultFound(f"exit code {ended.code} without a word")
    if as_json and not terminal:
        try:
            json.loads(ended.out)
        except ValueError as error:
            raise FaultFound(f"invalid JSON ({error}): {ended.out[:300]!r}") from error


def _become_child(
    action: Callable[[], object],
    streams: Sequence[int],
    env: Mapping[str, str],
    cwd: Path,
    max_addresses: int,
) -> None:
    code = 70
    try:
        os.setsid()
        if os.isatty(streams[0]):
            fcntl.ioctl(streams[0], termios.TIOCSCTTY, 0)
        for target, descriptor in enumerate(streams):
            os.dup2(descriptor, target)
        os.closerange(3, 256)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        os.environ.clear()
        os.environ.update(env)
        tempfile.tempdir = None
        os.chdir(cwd)
        resource.setrlimit(resource.RLIMIT_AS, (max_addresses, max_addresses))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        action()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1 if error.code else 0
    except BaseException:  # noqa: BLE001  # the judge sees the traceback
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        os._exit(code)


def _wait(pid: int, readers: Sequence[int], max_s: float) -> tuple[int, list[str], int]:
    """Return the exit code of a process, what it printed, and its largest memory in bytes."""
    printed = {reader: bytearray() for reader in readers}
    is_open, has_ended, is_hanging = set(readers), False, False
    deadline_s = time.monotonic() + max_s
    handle = os.pidfd_open(pid)
    while True:
        waited = [*is_open] if has_ended else [*is_open, handle]
        ready = set(select.select(waited, [], [], 0.0 if has_ended else 0.2)[0])
        for reader in is_open & ready:
            part = _read(reader)
            printed[reader] += part
            if not part:
                is_open.discard(reader)
        if has_ended and not is_open & ready:
            break
        has_ended = has_ended or handle in ready
        if not has_ended and not is_hanging and time.monotonic() > deadline_s:
            is_hanging = True
            os.killpg(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    for descriptor in (handle, *readers):
        os.close(descriptor)
    texts = [bytes(text).decode(errors="surrogateescape") for text in printed.values()]
    if is_hanging:
        raise FaultFound(f"it hangs: no end after {max_s:.0f} s; output: {texts[-1][-300:]!r}")
    return os.waitstatus_to_exitcode(status), texts, usage.ru_maxrss * 1024


def _own_bytes() -> tuple[int, int]:
    """Return the bytes of addresses and of resident memory of this process."""
    n_addresses, n_resident = Path("/proc/self/statm").read_text().split()[:2]
    page = resource.getpagesize()
    return int(n_addresses) * page, int(n_resident) * page


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 65536)
    except OSError:  # the terminal was closed by its last process
        return b""


def _check_leftovers(place: Place) -> None:
    deadline_s = time.monotonic() + _EXIT_S
    while left := _children():
        if time.monotonic() > deadline_s:
            raise FaultFound(f"a process is left over: {_kill(left)}")
        time.sleep(0.02)
    if names := sorted(path.name for path in place.scratch.iterdir()):
        raise FaultFound(f"temporary files are left over: {names}")


def _children() -> list[int]:
    """Return the live processes that the command started; each command has a session of its own."""
    pids = []
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, children.read_text().split()):
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                if os.getsid(pid) != os.getsid(0) and os.waitpid(pid, os.WNOHANG)[0] == 0:
                    pids.append(pid)
    return pids


def _kill(pids: Sequence[int]) -> list[str]:
    lines = []
    for pid in pids:
        lines.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:200])
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return lines
