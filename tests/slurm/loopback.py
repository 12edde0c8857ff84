"""A real Slurm on this machine: every daemon of it, on 127.0.0.1, below one folder.

It needs root, the packages `slurm-wlm` and `munge`, and with accounting also `slurmdbd` and
`mariadb-server`. No daemon of the machine is used or changed. All run as root, so that the folder
may be private.

    with started(nodes=2) as slurm:
        subprocess.run(["sbatch", ...], env=slurm.environment)
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from slurm.configuration import munge_socket, write_configuration
from slurm.daemons import PROGRAMS, Daemons, free_ports, resolve_own_name
from slurm.database import start_accounting, start_database

_REQUEUE_WAIT_S = 2.0


class Loopback:
    """A Slurm with two fake GPUs on each node; nodes are called n1, n2 and so on."""

    def __init__(
        self,
        folder: Path,
        nodes: int = 2,
        *,
        accounting: bool = False,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """Make it; nothing starts.

        Args:
            folder: for its files, empty.
            nodes: number of nodes.
            accounting: whether it has a database, limits and control groups.
            extra: further lines of slurm.conf, by key.
        """
        self.folder, self.nodes, self.accounting = folder, nodes, accounting
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))}
        self.environment = clean | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PROGRAMS}
        """In which the commands of Slurm find this one."""
        self._extra = extra or {}
        self.daemons = Daemons(folder, self.environment)
        self._waiting: dict[str, float] = {}

    def ask(self, *command: str, check: bool = True) -> str:
        """Return what a command of Slurm prints; empty if it does not end.

        Raises:
            subprocess.CalledProcessError: it fails.
        """
        # A command can wait for a daemon that was killed.
        limited = ("timeout", "60", *command)
        done = subprocess.run(limited, env=self.environment, capture_output=True, text=True)
        if check and done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout.strip()

    # --- start

    def start(self) -> None:
        """Start every daemon and wait until all nodes are idle.

        Raises:
            DaemonError: one does not start.
        """
        port = free_ports()
        for name in ("state", "log", "dev", "run", "munge"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        resolve_own_name()
        self._start_munge()
        if self.accounting:
            start_database(self.folder, port, self.daemons)
        write_configuration(
            self.folder,
            nodes=self.nodes,
            port=port,
            accounting=self.accounting,
            extra=self._extra,
        )
        if self.accounting:
            start_accounting(self.folder, port, self.daemons)
        self.start_controller()
        for number in range(1, self.nodes + 1):
            self.start_node(number)
        self.wait_until_idle()

    def _start_munge(self) -> None:
        key, socket = self.folder / "munge" / "key", munge_socket(self.folder)
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        self.daemons.spawn(
            "munged", "munged", "--foreground", "--force", f"--socket={socket}",
            f"--key-file={key}", f"--pid-file={self.folder}/run/munged.pid",
            f"--log-file={self.folder}/log/munged.log", f"--seed-file={self.folder}/munge/seed",
        )  # fmt: skip
        self.daemons.wait(socket.exists, "munged")

    def start_controller(self) -> None:
        """Start slurmctld, for example after it was killed."""
        self.daemons.spawn("slurmctld", "slurmctld", "-D", "-f", f"{self.folder}/slurm.conf")

    def start_node(self, number: int) -> None:
        """Start the slurmd of a node."""
        name, conf = f"n{number}", f"{self.folder}/slurm.conf"
        self.daemons.spawn(f"slurmd-{name}", "slurmd", "-D", "-N", name, "-f", conf)

    def wait_until_idle(self) -> None:
        """Return when every node is idle.

        Raises:
            DaemonError: a minute has passed.
        """
        self.daemons.wait(
            lambda: set(self.ask("sinfo", "-h", "-o", "%T", check=False).split()) == {"idle"},
            "slurmctld",
        )

    def wait_until_answering(self) -> None:
        """Return when the controller answers.

        Raises:
            DaemonError: a minute has passed.
        """
        self.daemons.wait(lambda: self.daemons.succeeds("scontrol", "ping"), "slurmctld")

    # --- while it runs

    def empty(self, wait_s: float = 20) -> None:
        """Cancel all jobs and wait until none is left."""
        self.ask("scancel", "-u", "root", check=False)
        end = time.monotonic() + wait_s
        while self.ask("squeue", "-h", check=False) and time.monotonic() < end:
            time.sleep(0.1)

    def hurry(self, held: Collection[str] = ()) -> None:
        """Let all tasks begin now that wait two minutes after a requeue; call it again and again.

        Args:
            held: tasks that must not begin yet.

        The wait gives the old process time to end. If it still did when its successor begins, Slurm
        would take its exit code for that of the successor, so each task waits some seconds here too.
        Where that was not enough, Slurm holds the task and drains the node; a person puts both back.
        """
        waiting = self.ask("squeue", "-h", "-r", "-t", "PD", "-o", "%i %r", check=False)
        lines = [line.partition(" ") for line in waiting.splitlines()]
        tasks = {task for task, _, reason in lines if reason in ("BeginTime", "None")}
        stopped = {task for task, _, reason in lines if "held" in reason.lower()}
        for task in stopped - set(held):
            self.ask("scontrol", "release", task, check=False)
            drained = self.ask("sinfo", "-h", "-N", "-t", "drain", "-o", "%N", check=False)
            for node in set(drained.split()):
                self.ask("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        now = time.monotonic()
        self._waiting = {task: self._waiting.get(task, now) for task in tasks}
        for task, since in self._waiting.items():
            if now - since >= _REQUEUE_WAIT_S:
                self.ask("scontrol", "update", f"jobid={task}", "StartTime=now", check=False)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a daemon: slurmctld, slurmd-n1."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.daemons.pid(name), number)

    def stop(self) -> None:
        """Cancel all jobs and end every daemon, also if some never started."""
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            self.empty(wait_s=5)
        self.daemons.end_all()
        for folder in Path("/sys/fs/cgroup").glob("*/slurm_n*"):
            for group in (*sorted(folder.rglob("*"), reverse=True), folder):
                with contextlib.suppress(OSError):
                    group.rmdir()


@contextlib.contextmanager
def started(
    *, nodes: int = 2, accounting: bool = False, extra: Mapping[str, str] | None = None
) -> Iterator[Loopback]:
    """Yield a Slurm in a new folder; end its daemons and delete the folder at the end."""
    # Short, because the name of a socket has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="llem-slurm-"))
    slurm = Loopback(folder, nodes, accounting=accounting, extra=extra)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()
        shutil.rmtree(folder, ignore_errors=True)
