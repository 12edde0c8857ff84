"""The daemons of a Slurm on this machine: started in sessions of their own, ended by their numbers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PROGRAMS = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
"""Where daemons and commands are found."""
_WAIT_S = 60.0
_ORDER = ("slurmd", "slurmctld", "slurmdbd", "mariadbd", "munged")
"""In which they end."""


class DaemonError(Exception):
    """A daemon has not started; the message has the end of its log."""


class Daemons:
    """The daemons below one folder, which has the folders `log` and `run`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Keep the folder, and the environment in which they start."""
        self._folder = folder
        self._environment = dict(environment)
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def spawn(self, name: str, *command: str, **variables: str) -> None:
        """Start a daemon in a session of its own, so that no signal of a terminal reaches it."""
        with (self._folder / "log" / f"{name}.out").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self._environment | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started(name).write_text(str(process.pid))
        self._children[process.pid] = process

    def pid(self, name: str) -> int:
        """Return the number of a daemon's process: slurmctld, slurmd-n1."""
        return int(self._started(name).read_text())

    def wait(self, is_ready: Callable[[], bool], name: str) -> None:
        """Return when a daemon is ready.

        Raises:
            DaemonError: a minute has passed.
        """
        end = time.monotonic() + _WAIT_S
        while not is_ready():
            if time.monotonic() > end:
                logs = "".join(
                    f"\n{path.name}: {path.read_text(errors='replace')[-600:]}"
                    for path in (self._folder / "log").glob(f"{name}*")
                )
                raise DaemonError(f"{name} has not started in {_WAIT_S:.0f} s{logs}")
            time.sleep(0.05)

    def run(self, *command: str) -> None:
        """Run a program to its end.

        Raises:
            DaemonError: it fails.
        """
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise DaemonError(f"{command[0]} failed: {done.stdout[-500:]}{done.stderr[-500:]}")

    def succeeds(self, *command: str) -> bool:
        """Return whether a program succeeds."""
        done = subprocess.run(command, env=self._environment, capture_output=True, check=False)
        return done.returncode == 0

    def end_all(self) -> None:
        """End every daemon, first by SIGTERM."""
        for file in sorted((self._folder / "run").glob("*.started"), key=_place):
            self._end(int(file.read_text()))
        for child in self._children.values():  # also those that were killed
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(5)

    def _started(self, name: str) -> Path:
        return self._folder / "run" / f"{name}.started"

    def _end(self, pid: int) -> None:
        for number, wait_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            end = time.monotonic() + wait_s
            while time.monotonic() < end:
                if self._is_gone(pid):
                    return
                time.sleep(0.02)

    def _is_gone(self, pid: int) -> bool:
        child = self._children.get(pid)
        if child is not None:
            return child.poll() is not None
        return not Path(f"/proc/{pid}").exists()


def _place(file: Path, order: Sequence[str] = _ORDER) -> int:
    names = (name for name in order if file.name.startswith((f"{name}.", f"{name}-")))
    return order.index(next(names, order[-1]))


def host() -> str:
    """Return the short name of this machine."""
    return socket.gethostname().partition(".")[0]


def resolve_own_name() -> None:
    """Make the name of this machine known to itself; Slurm looks it up."""
    try:
        socket.gethostbyname(host())
    except OSError:
        with Path("/etc/hosts").open("a") as file:
            file.write(f"127.0.0.1 {host()}\n")


def free_ports() -> int:
    """Return the first of 16 ports that no program uses.

    Raises:
        DaemonError: there are none.
    """
    for first in range(20000 + os.getpid() % 300 * 40, 32000, 40):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + 16):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise DaemonError("no free ports between 20000 and 32000")


def missing(*, accounting: bool = False) -> str | None:
    """Return why no Slurm can be started here; None if one can."""
    names = ["slurmctld", "slurmd", "sbatch", "munged"]
    names += ["slurmdbd", "mariadbd", "sacctmgr"] if accounting else []
    absent = [name for name in names if shutil.which(name, path=PROGRAMS) is None]
    if absent:
        return f"needs {', '.join(absent)} (packages slurm-wlm, munge, slurmdbd, mariadb-server)"
    return "needs root" if os.geteuid() != 0 else None
