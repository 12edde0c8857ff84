"""Divide a study into shards, which any number of processes and machines can run.

    from llem_runner.shards import add_cycles, divide_study, merge_study, run_shard
    plan = divide_study("study.yaml", shards=1)          # one for each cycle; nothing runs yet
    for shard in plan.shards:
        run_shard(plan.folder, shard.number)             # or elsewhere, at the same time
    result = merge_study(plan.folder)                    # at any time
    add_cycles(plan.folder, 5)                           # more shards, which run as the others

`llem-cli study shard FOLDER NUMBER` is the same as `run_shard`, on any machine that sees the folder.
"""

from llem_runner._plan.shards import Shard, plan_shards, precision_kept
from llem_runner._shards.division import (
    Division,
    divide_study,
    is_divided,
    plan_division,
    read_plan,
)
from llem_runner._shards.growth import Addition, add_cycles, add_points
from llem_runner._shards.merge import is_merged, merge_study
from llem_runner._shards.open_shards import open_shards
from llem_runner._shards.outcome import ShardOutcome
from llem_runner._shards.pack import PackedStudy, pack_study
from llem_runner._shards.progress import ShardProgress, ShardStatus, shard_progress
from llem_runner._shards.records import Needs, ShardPlan
from llem_runner._shards.reopening import reopen_shards
from llem_runner._shards.resume import Resumed, resume_shards
from llem_runner._shards.run_shard import run_shard
from llem_runner._storage.attempts import damaged_attempts

__all__ = [
    "Addition",
    "Division",
    "Needs",
    "PackedStudy",
    "Resumed",
    "Shard",
    "ShardOutcome",
    "ShardPlan",
    "ShardProgress",
    "ShardStatus",
    "add_cycles",
    "add_points",
    "damaged_attempts",
    "divide_study",
    "is_divided",
    "is_merged",
    "merge_study",
    "open_shards",
    "pack_study",
    "plan_division",
    "plan_shards",
    "precision_kept",
    "read_plan",
    "reopen_shards",
    "resume_shards",
    "run_shard",
    "shard_progress",
]
