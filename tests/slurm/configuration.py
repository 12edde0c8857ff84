"""The files of a Slurm on one machine: slurm.conf, its GPUs and its control groups."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from slurm.daemons import host

GPUS_PER_NODE = 2
PARTITIONS = (
    "PartitionName=p Nodes=ALL Default=YES PreemptMode=REQUEUE",
    "PartitionName=graceful Nodes=ALL PreemptMode=REQUEUE GraceTime=6",
    "PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF",
)
"""A job of `urgent` takes the nodes of the others; those of `graceful` have 6 s to end."""
_FAKE_MAJOR = 240
"""Number of a kind of device that no driver of this machine serves: the fake GPUs."""


def write_configuration(
    folder: Path, *, nodes: int, port: int, accounting: bool, extra: Mapping[str, str]
) -> None:
    """Write all files of a Slurm, and make its fake GPUs.

    Args:
        folder: of the Slurm.
        nodes: number of nodes.
        port: the first of its ports.
        accounting: whether there is a database.
        extra: further lines of slurm.conf, by key.
    """
    _make_gpus(folder, nodes)
    (folder / "cgroup.conf").write_text(
        "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nConstrainDevices=yes\nConstrainRAMSpace=yes\n"
    )
    kind = _with_accounting(folder, port) if accounting else _without_accounting(folder)
    write_values(folder / "slurm.conf", {**_common(folder, port), **kind, **extra})
    with (folder / "slurm.conf").open("a") as file:
        for n in range(1, nodes + 1):
            file.write(
                f"NodeName=n{n} NodeHostname={host()} NodeAddr=127.0.0.1 Port={port + 10 + n} "
                f"CPUs=2 RealMemory=8000 Gres=gpu:fake:{GPUS_PER_NODE} State=UNKNOWN\n"
            )
        file.writelines(f"{line} MaxTime=INFINITE State=UP\n" for line in PARTITIONS)


def write_values(path: Path, values: Mapping[str, object]) -> None:
    """Write a file of lines KEY=VALUE."""
    path.write_text("".join(f"{key}={value}\n" for key, value in values.items()))


def munge_socket(folder: Path) -> Path:
    """Return the socket of the daemon that proves who asks."""
    return folder / "munge" / "socket"


def _make_gpus(folder: Path, nodes: int) -> None:
    lines: Sequence[str] = [
        f"NodeName=n{n} Name=gpu Type=fake "
        f"File={folder}/dev/gpu[{GPUS_PER_NODE * (n - 1)}-{GPUS_PER_NODE * n - 1}]\n"
        for n in range(1, nodes + 1)
    ]
    (folder / "gres.conf").write_text("".join(lines))
    for number in range(GPUS_PER_NODE * nodes):
        device = folder / "dev" / f"gpu{number}"
        if not device.exists():
            os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(_FAKE_MAJOR, number))


def _common(folder: Path, port: int) -> dict[str, object]:
    return {
        "ClusterName": "lo",
        "SlurmctldHost": f"{host()}(127.0.0.1)",
        "SlurmctldPort": port,
        "SlurmUser": "root",
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={munge_socket(folder)}",
        "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": folder / "spool-%n",
        "SlurmctldPidFile": folder / "run" / "slurmctld.pid",
        "SlurmdPidFile": folder / "run" / "slurmd-%n.pid",
        "SlurmctldLogFile": folder / "log" / "slurmctld.log",
        "SlurmdLogFile": folder / "log" / "slurmd-%n.log",
        "SwitchType": "switch/none",
        "MpiDefault": "none",
        "SlurmdParameters": "config_overrides",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core",
        "SchedulerParameters": "sched_interval=2,batch_sched_delay=0,bf_interval=2",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        "ReturnToService": 2,
        "KillWait": 5,
        "SlurmdTimeout": 10,
        "MessageTimeout": 20,
        "UnkillableStepTimeout": 30,
        "JobRequeue": 1,
        "GresTypes": "gpu",
    }


def _without_accounting(folder: Path) -> dict[str, object]:
    return {
        "AccountingStorageType": "accounting_storage/none",
        "JobCompType": "jobcomp/filetxt",
        "JobCompLoc": folder / "log" / "jobcomp.txt",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none",
    }


def _with_accounting(folder: Path, port: int) -> dict[str, object]:
    # Without control groups of this version, devices and memory are not limited.
    has_groups = Path("/sys/fs/cgroup/devices").is_dir()
    return {
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": host(),
        "AccountingStoragePort": port + 1,
        "AccountingStoragePass": munge_socket(folder),
        "AccountingStorageTRES": "gres/gpu,energy",
        "AccountingStorageEnforce": "associations,limits,qos",
        "JobCompType": "jobcomp/none",
        "SelectTypeParameters": "CR_Core_Memory",
        "JobAcctGatherType": "jobacct_gather/linux",
        "ProctrackType": "proctrack/cgroup" if has_groups else "proctrack/linuxproc",
        "TaskPlugin": "task/cgroup,task/affinity" if has_groups else "task/none",
    }
