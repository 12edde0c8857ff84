"""Plans of divided studies, and programs in place of the one that runs a shard and of Slurm's own."""

from __future__ import annotations

import shutil
from pathlib import Path

from llem_runner.clusters import Needs, Shard, ShardPlan


def plan_of(folder: Path, n_shards: int = 3, *, n_gpus: int = 0, alone: bool = False) -> ShardPlan:
    """Return a plan of shards of two runs each."""
    return ShardPlan(
        folder=folder,
        shards=tuple(
            Shard(number=n, cycle=n, runs=(2 * n - 1, 2 * n)) for n in range(1, n_shards + 1)
        ),
        seconds_per_shard=60.0,
        needs=Needs(n_gpus=n_gpus, whole_machine=alone),
    )


def program(path: Path, body: str) -> str:
    """Write an executable shell script and return its path.

    Its arguments are those of Python: -m llem_cli study shard FOLDER NUMBER.
    """
    path.write_text(f"#!/bin/bash\nfolder=$5; shard=$6\n{body}\n")
    path.chmod(0o755)
    return str(path)


def counting_programs(folder: Path, log: Path) -> Path:
    """Write programs that call the commands of Slurm and note each call in a line; return the folder."""
    folder.mkdir()
    for name in ("sbatch", "squeue", "scontrol", "scancel", "sacct", "sinfo"):
        file = folder / name
        command = f'echo "{name} $*" >> {log}\nexec {shutil.which(name)} "$@"'
        file.write_text(f"#!/bin/bash\n{command}\n")
        file.chmod(0o755)
    return folder
