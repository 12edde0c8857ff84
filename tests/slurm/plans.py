"""Plans of divided studies, and a program in place of the one that runs a shard."""

from __future__ import annotations

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
