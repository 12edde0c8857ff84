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
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GPUS_PER_NODE = 2
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_WAIT_S = 60.0
_REQUEUE_WAIT_S = 2.0
_FAKE_MAJOR = 240
"""Number of a kind of device that no driver of this machine serves: the fake GPUs."""


class DaemonError(Exception):
    """A daemon has not started; the message has the end of its log."""


@dataclass
class Loopback:
    """A Slurm with two fake GPUs on each node; nodes are called n1, n2 and so on."""

    folder: Path
    nodes: int = 2
    accounting: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)
    """Further lines of slurm.conf, by key."""
    partitions: Sequence[str] = ()
    """Further lines that begin with PartitionName."""
    _waiting: dict[str, float] = field(default_factory=dict)
    port: int = 0
    """The first of the ports; free ones are looked for."""

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment in which the commands of Slurm find this one."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))}
        return clean | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": _PATH}

    def ask(self, *command: str, check: bool = True) -> str:
        """Return what a command of Slurm prints.

        Raises:
            subprocess.CalledProcessError: it fails.
        """
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=90
        )
        if check and done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout.strip()

    # --- start

    def start(self) -> None:
        """Start every daemon and wait until all nodes are idle.

        Raises:
            DaemonError: one does not start.
        """
        self.port = self.port or _free_ports()
        for name in ("state", "log", "dev", "run", "munge"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        _resolve_own_name()
        self._start_munge()
        if self.accounting:
            self._start_database()
        self._configure()
        if self.accounting:
            self._start_accounting()
        self.start_controller()
        for number in range(1, self.nodes + 1):
            self.start_node(number)
        self.wait_until_idle()

    def start_controller(self) -> None:
        """Start slurmctld, for example after it was killed."""
        self._spawn("slurmctld", "slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))

    def start_node(self, number: int) -> None:
        """Start the slurmd of a node."""
        name = f"n{number}"
        self._spawn(f"slurmd-{name}", "slurmd", "-D", "-N", name, "-f", f"{self.folder}/slurm.conf")

    def wait_until_idle(self) -> None:
        """Return when every node is idle.

        Raises:
            DaemonError: a minute has passed.
        """
        self._wait(lambda: self.ask("sinfo", "-h", "-o", "%T", check=False) == "idle", "slurmctld")

    def wait_until_answering(self) -> None:
        """Return when the controller answers.

        Raises:
            DaemonError: a minute has passed.
        """
        self._wait(lambda: self._succeeds("scontrol", "ping"), "slurmctld")

    def empty(self, wait_s: float = 20) -> None:
        """Cancel all jobs and wait until none is left."""
        self.ask("scancel", "-u", "root", check=False)
        end = time.monotonic() + wait_s
        while self.ask("squeue", "-h", check=False) and time.monotonic() < end:
            time.sleep(0.1)

    def hurry(self) -> None:
        """Let all tasks begin now that wait two minutes after a requeue; call it again and again.

        The wait gives the old process time to end. If it still did when its successor begins, Slurm
        would take its exit code for that of the successor, so each task waits some seconds here too.
        """
        waiting = self.ask("squeue", "-h", "-r", "-t", "PD", "-o", "%i %r", check=False)
        lines = (line.partition(" ") for line in waiting.splitlines())
        tasks = {task for task, _, reason in lines if reason in ("BeginTime", "None")}
        now = time.monotonic()
        self._waiting = {task: self._waiting.get(task, now) for task in tasks}
        for task, since in self._waiting.items():
            if now - since >= _REQUEUE_WAIT_S:
                self.ask("scontrol", "update", f"jobid={task}", "StartTime=now", check=False)

    def pid(self, name: str) -> int:
        """Return the number of a daemon's process: slurmctld, slurmd-n1."""
        return int((self.folder / "run" / f"{name}.started").read_text())

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a daemon."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid(name), number)

    # --- stop

    def stop(self) -> None:
        """Cancel all jobs and end every daemon, also if some never started."""
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            self.empty(wait_s=5)
        order = ("slurmd", "slurmctld", "slurmdbd", "mariadbd", "munged")
        files = sorted((self.folder / "run").glob("*.started"), key=lambda f: _place(f, order))
        for file in files:
            _end(int(file.read_text()))
        for folder in Path("/sys/fs/cgroup").glob("*/slurm_n*"):
            for inner in sorted(folder.rglob("*"), reverse=True):
                with contextlib.suppress(OSError):
                    inner.rmdir()
            with contextlib.suppress(OSError):
                folder.rmdir()

    # --- parts

    def _start_munge(self) -> None:
        key = self.folder / "munge" / "key"
        if not key.exists():
            key.write_bytes(secrets.token_bytes(1024))
            key.chmod(0o400)
        self._spawn(
            "munged", "munged", "--foreground", "--force", f"--socket={self._socket}",
            f"--key-file={key}", f"--pid-file={self.folder}/run/munged.pid",
            f"--log-file={self.folder}/log/munged.log", f"--seed-file={self.folder}/munge/seed",
        )  # fmt: skip
        self._wait(self._socket.exists, "munged")

    def _start_database(self) -> None:
        data, socket_ = self.folder / "mysql", self.folder / "run" / "mysql.sock"
        if not data.exists():
            data.mkdir()
            self._run(
                "mysql_install_db", "--user=root", f"--datadir={data}", "--skip-test-db",
                "--auth-root-authentication-method=normal",
            )  # fmt: skip
        self._spawn(
            "mariadbd", "mariadbd", "--no-defaults", "--user=root", f"--datadir={data}",
            f"--socket={socket_}", f"--pid-file={self.folder}/run/mariadbd.pid",
            "--bind-address=127.0.0.1", f"--port={self.port + 2}",
            "--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900",
        )  # fmt: skip
        client = ("mysql", "--no-defaults", "-u", "root", "-S", str(socket_), "-e")
        self._wait(lambda: self._succeeds(*client, "SELECT 1"), "mariadbd")
        self._run(
            *client,
            "CREATE DATABASE IF NOT EXISTS accounting; "
            "CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm'; "
            "CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY 'slurm'; "
            "GRANT ALL ON accounting.* TO 'slurm'@'127.0.0.1'; "
            "GRANT ALL ON accounting.* TO 'slurm'@'localhost';",
        )

    def _start_accounting(self) -> None:
        conf = self.folder / "slurmdbd.conf"
        _write(
            conf,
            AuthType="auth/munge", AuthInfo=f"socket={self._socket}", DbdHost=_host(),
            DbdAddr="127.0.0.1", DbdPort=self.port + 1, SlurmUser="root",
            LogFile=self.folder / "log" / "slurmdbd.log",
            PidFile=self.folder / "run" / "slurmdbd.pid",
            StorageType="accounting_storage/mysql", StorageHost="127.0.0.1",
            StoragePort=self.port + 2, StorageUser="slurm", StoragePass="slurm",
            StorageLoc="accounting", CommunicationParameters="NoInAddrAny",
        )  # fmt: skip
        conf.chmod(0o600)
        self._spawn("slurmdbd", "slurmdbd", "-D", SLURMDBD_CONF=str(conf))
        self._wait(lambda: self._succeeds("sacctmgr", "-n", "show", "cluster"), "slurmdbd")
        for what in (("cluster", "lo"), ("account", "lab"), ("user", "root", "account=lab")):
            self._succeeds("sacctmgr", "-i", "add", *what)

    def _configure(self) -> None:
        nodes = range(1, self.nodes + 1)
        for number in range(GPUS_PER_NODE * self.nodes):
            device = self.folder / "dev" / f"gpu{number}"
            if not device.exists():
                os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(_FAKE_MAJOR, number))
        (self.folder / "gres.conf").write_text(
            "".join(
                f"NodeName=n{n} Name=gpu Type=fake "
                f"File={self.folder}/dev/gpu[{GPUS_PER_NODE * (n - 1)}-{GPUS_PER_NODE * n - 1}]\n"
                for n in nodes
            )
        )
        (self.folder / "cgroup.conf").write_text(
            "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nConstrainDevices=yes\n"
            "ConstrainRAMSpace=yes\n"
        )
        values: dict[str, object] = {
            "ClusterName": "lo",
            "SlurmctldHost": f"{_host()}(127.0.0.1)",
            "SlurmctldPort": self.port,
            "SlurmUser": "root",
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={self._socket}",
            "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",
            "StateSaveLocation": self.folder / "state",
            "SlurmdSpoolDir": self.folder / "spool-%n",
            "SlurmctldPidFile": self.folder / "run" / "slurmctld.pid",
            "SlurmdPidFile": self.folder / "run" / "slurmd-%n.pid",
            "SlurmctldLogFile": self.folder / "log" / "slurmctld.log",
            "SlurmdLogFile": self.folder / "log" / "slurmd-%n.log",
            "SwitchType": "switch/none",
            "MpiDefault": "none",
            "SlurmdParameters": "config_overrides",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core",
            "SchedulerParameters": "sched_interval=2,batch_sched_delay=0,bf_interval=2",
            "ReturnToService": 2,
            "KillWait": 5,
            "SlurmdTimeout": 10,
            "MessageTimeout": 20,
            "UnkillableStepTimeout": 30,
            "JobRequeue": 1,
            "GresTypes": "gpu",
            **(self._with_accounting() if self.accounting else self._without_accounting()),
            **self.extra,
        }
        conf = self.folder / "slurm.conf"
        _write(conf, **values)
        with conf.open("a") as file:
            for n in nodes:
                file.write(
                    f"NodeName=n{n} NodeHostname={_host()} NodeAddr=127.0.0.1 "
                    f"Port={self.port + 10 + n} CPUs=2 RealMemory=8000 "
                    f"Gres=gpu:fake:{GPUS_PER_NODE} State=UNKNOWN\n"
                )
            file.write("PartitionName=p Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n")
            file.writelines(f"{line}\n" for line in self.partitions)

    def _without_accounting(self) -> dict[str, object]:
        return {
            "AccountingStorageType": "accounting_storage/none",
            "JobCompType": "jobcomp/filetxt",
            "JobCompLoc": self.folder / "log" / "jobcomp.txt",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "JobAcctGatherType": "jobacct_gather/none",
        }

    def _with_accounting(self) -> dict[str, object]:
        # Without cgroups of this version, devices and memory are not limited.
        has_groups = Path("/sys/fs/cgroup/devices").is_dir()
        return {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": _host(),
            "AccountingStoragePort": self.port + 1,
            "AccountingStoragePass": self._socket,
            "AccountingStorageTRES": "gres/gpu,energy",
            "AccountingStorageEnforce": "associations,limits,qos",
            "JobCompType": "jobcomp/none",
            "SelectTypeParameters": "CR_Core_Memory",
            "JobAcctGatherType": "jobacct_gather/linux",
            "ProctrackType": "proctrack/cgroup" if has_groups else "proctrack/linuxproc",
            "TaskPlugin": "task/cgroup,task/affinity" if has_groups else "task/none",
        }

    @property
    def _socket(self) -> Path:
        return self.folder / "munge" / "socket"

    def _spawn(self, name: str, *command: str, **variables: str) -> None:
        """Start a daemon in a session of its own, so that no signal of a terminal reaches it."""
        with (self.folder / "log" / f"{name}.out").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self.environment | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.folder / "run" / f"{name}.started").write_text(str(process.pid))
        _CHILDREN[process.pid] = process

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise DaemonError(f"{command[0]} failed: {done.stdout[-500:]}{done.stderr[-500:]}")

    def _succeeds(self, *command: str) -> bool:
        done = subprocess.run(command, env=self.environment, capture_output=True, check=False)
        return done.returncode == 0

    def _wait(self, is_ready: object, name: str) -> None:
        assert callable(is_ready)
        end = time.monotonic() + _WAIT_S
        while not is_ready():
            if time.monotonic() > end:
                logs = "".join(
                    f"\n{path.name}: {path.read_text(errors='replace')[-600:]}"
                    for path in (self.folder / "log").glob(f"{name}*")
                )
                raise DaemonError(f"{name} has not started in {_WAIT_S:.0f} s{logs}")
            time.sleep(0.05)


_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


@contextlib.contextmanager
def started(
    *,
    nodes: int = 2,
    accounting: bool = False,
    extra: Mapping[str, str] | None = None,
    partitions: Sequence[str] = (),
) -> Iterator[Loopback]:
    """Yield a Slurm in a new folder; end its daemons and delete the folder at the end."""
    # Short, because the name of a socket has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="llem-slurm-"))
    slurm = Loopback(folder, nodes, accounting, extra or {}, partitions)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()
        shutil.rmtree(folder, ignore_errors=True)


def missing(*, accounting: bool = False) -> str | None:
    """Return why no Slurm can be started here; None if one can."""
    names = ["slurmctld", "slurmd", "sbatch", "munged"]
    names += ["slurmdbd", "mariadbd", "sacctmgr"] if accounting else []
    absent = [name for name in names if shutil.which(name, path=_PATH) is None]
    if absent:
        return f"needs {', '.join(absent)} (packages slurm-wlm, munge, slurmdbd, mariadb-server)"
    return "needs root" if os.geteuid() != 0 else None


def _end(pid: int) -> None:
    """End a daemon, first by SIGTERM."""
    for number, wait_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            if _is_gone(pid):
                return
            time.sleep(0.02)


def _is_gone(pid: int) -> bool:
    child = _CHILDREN.get(pid)
    if child is not None:
        return child.poll() is not None
    return not Path(f"/proc/{pid}").exists()


def _place(file: Path, order: Sequence[str]) -> int:
    return next(
        (
            n
            for n, name in enumerate(order)
            if file.name.startswith(f"{name}.") or file.name.startswith(f"{name}-")
        ),
        len(order),
    )


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _resolve_own_name() -> None:
    """Make the name of this machine known to itself; Slurm looks it up."""
    try:
        socket.gethostbyname(_host())
    except OSError:
        with Path("/etc/hosts").open("a") as file:
            file.write(f"127.0.0.1 {_host()}\n")


def _free_ports() -> int:
    """Return the first of 32 ports that no program uses."""
    for first in range(20000 + os.getpid() % 300 * 40, 32000, 40):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + 16):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise DaemonError("no free ports between 20000 and 32000")


def _write(path: Path, **values: object) -> None:
    path.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
