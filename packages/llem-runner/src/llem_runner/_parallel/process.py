"""The process of a shard, as the process that has started it sees it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import IO

import msgspec

from llem_config.settings import ENV_OTHER_JOBS
from llem_runner._errors import StudyError
from llem_runner._events import Event
from llem_runner._executors.local.spawning import interpreter, module_folders
from llem_runner._parallel.messages import ErrorLine, WorkerTask, decode_line
from llem_runner._shards.outcome import ShardOutcome

# -P: the working directory of the caller must not shadow a module of the standard library.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from llem_runner._parallel.worker import main; main()"
)
_MAX_READ = 1 << 16


class ShardProcess:
    """A process that runs one shard on one GPU, in a session of its own: Ctrl-C does not reach it."""

    def __init__(self, task: WorkerTask, gpu: str, log: Path, *, is_alone: bool) -> None:
        """Start it.

        Args:
            task: what it does.
            gpu: UUID of the only GPU that it and its runs see.
            log: takes its output, which is empty unless something goes wrong.
            is_alone: whether no other shard runs on this machine at the same time.

        Raises:
            StudyError: the log cannot be written, or the system cannot start a process.
        """
        self.gpu, self.shard, self.log = gpu, task.shard, log
        self.outcome: ShardOutcome | None = None
        self.error: str | None = None
        self._rest = b""
        others = {} if is_alone else {ENV_OTHER_JOBS: "certain"}
        read_end, write_end = os.pipe()
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [*interpreter(), "-P", "-c", _PROGRAM, json.dumps(module_folders()),
                     str(write_end), "llem-shard"],
                    stdin=subprocess.PIPE, stdout=output, stderr=output, pass_fds=[write_end],
                    start_new_session=True, bufsize=0,
                    env=os.environ | others
                    | {"CUDA_VISIBLE_DEVICES": gpu, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
                )  # fmt: skip
        except OSError as error:
            os.close(read_end)
            raise StudyError(
                f"the process of shard {task.shard} cannot be started: {error.strerror}"
            ) from error
        finally:
            os.close(write_end)
        self._events = read_end
        os.set_blocking(read_end, False)
        content = msgspec.msgpack.encode(task)
        with contextlib.suppress(OSError):  # a process that is dead already is noticed in `read`
            self._stdin.write(len(content).to_bytes(8) + content)

    @property
    def _stdin(self) -> IO[bytes]:
        stdin = self._process.stdin
        if stdin is None:  # it was started with a pipe
            raise AssertionError
        return stdin

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._process.pid

    def fileno(self) -> int:
        """Return a descriptor that is readable when it has told something, or has ended."""
        return self._events

    def read(self) -> tuple[list[Event], bool]:
        """Return what it has told since the last call, and whether it has told all."""
        try:
            content = os.read(self._events, _MAX_READ)
        except BlockingIOError:
            return [], False
        lines = (self._rest + content).split(b"\n")
        self._rest = lines.pop()
        events: list[Event] = []
        for line in lines:
            try:
                message = decode_line(line)
            except msgspec.MsgspecError as error:
                message = ErrorLine(f"it wrote a line that is none of ours: {error}")
            if isinstance(message, ShardOutcome):
                self.outcome = message
            elif isinstance(message, ErrorLine):
                self.error = message.message
            else:
                events.append(message)
        return events, not content

    def stop(self) -> None:
        """Ask it to stop; a second time, its run is killed."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def close(self) -> int:
        """Wait for its end and return its exit code, below 0 if a signal ended it."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        os.close(self._events)
        return self._process.wait()
