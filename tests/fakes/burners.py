"""Real processes that use CPU time and know how much."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Burns the given seconds of CPU time, writes what it has used, and waits. A line in the file `go`
# is not needed for the first round; each later round burns again.
_BURN = """
import os, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
(folder / "pid").write_text(str(os.getpid()))
round_ = 0
while True:
    while not (folder / f"go{round_}").exists():
        time.sleep(0.005)
    end_s = time.process_time() + float((folder / f"go{round_}").read_text())
    while time.process_time() < end_s:
        pass
    (folder / "new").write_text(str(time.process_time()))
    (folder / "new").rename(folder / f"done{round_}")
    round_ += 1
"""
_START_AND_LEAVE = """
import json, subprocess, sys
subprocess.Popen(json.loads(sys.argv[1]), start_new_session=True)
"""


class Burner:
    """A process that burns CPU time on request."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._n_rounds = 0
        _wait(folder / "pid", lambda text: text.isdigit())
        self.pid = int((folder / "pid").read_text())

    def start(self, seconds: float) -> None:
        """Begin to use `seconds` of CPU time."""
        (self._folder / "scratch").write_text(str(seconds))
        (self._folder / "scratch").rename(self._folder / f"go{self._n_rounds}")

    def finish(self) -> float:
        """Wait until the time is used; return the CPU time since the process began."""
        done = self._folder / f"done{self._n_rounds}"
        self._n_rounds += 1
        return float(_wait(done, bool))

    def burn(self, seconds: float) -> float:
        """Use CPU time, and return the CPU time since the process began."""
        self.start(seconds)
        return self.finish()


def _wait(file: Path, is_complete: object) -> str:
    """Return the content of a file, once it is there and complete."""
    import time

    for _ in range(24_000):
        with contextlib.suppress(FileNotFoundError):
            text = file.read_text()
            if callable(is_complete) and is_complete(text):
                return text
        time.sleep(0.005)
    raise AssertionError(f"{file} did not appear within two minutes")


@contextlib.contextmanager
def burner(
    folder: Path, *, orphan: bool = False, session: bool = False, env: dict[str, str] | None = None
) -> Iterator[Burner]:
    """Start a process that burns CPU time on request, and kill it at the end.

    Args:
        folder: for its files; it must not exist.
        orphan: start it through a process that ends, so that it is no descendant any more; in a
            session of its own.
        session: give it a session of its own.
        env: its environment; None is that of this process.
    """
    folder.mkdir()
    command = [sys.executable, "-S", "-c", _BURN, str(folder)]
    child = None
    if orphan:
        start = [sys.executable, "-S", "-c", _START_AND_LEAVE, json.dumps(command)]
        subprocess.run(start, check=True, env=env)
    else:
        child = subprocess.Popen(command, start_new_session=session, env=env)
    process = Burner(folder)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        if child is not None:
            child.wait()
