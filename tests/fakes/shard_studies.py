"""Divided studies for the tests, and stand-ins for a measurement on several machines.

`python -m fakes.shard_studies FOLDER NUMBER` is `llem-cli study shard` with the stand-in.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fakes.results import make_result
from fakes.studies import study

from llem_config import ExperimentConfig, StudyConfig
from llem_energy import ExperimentResult
from llem_runner.shards import ShardPlan, divide_study

EFFECT, SECONDS = "LLEM_TEST_EFFECT", "LLEM_TEST_SECONDS"
"""Variables that tell a stand-in the relative energy of its machine, and how long a run takes."""
REPEATABLE = "LLEM_TEST_REPEATABLE"
"""A variable which makes the energy of a run the same in every attempt at it."""
POINT_STEP, RUN_SD = 0.01, 0.005
"""Each point needs 1 % more than the one before; runs of a point spread by 0.5 %."""


def shuffled(n_points: int = 10, n_cycles: int = 3, **execution: Any) -> StudyConfig:
    return study(range(1, n_points + 1), n_cycles=n_cycles, cycle_order="shuffled", **execution)


def divided(results: Path, n_points: int = 10, n_cycles: int = 3, n: int = 2) -> ShardPlan:
    """Return a study on disk of `n` shards per cycle."""
    return divide_study(shuffled(n_points, n_cycles), output=results, shards=n)


def on_a_node(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Take a moment; the energy depends on the point, on the machine and on chance."""
    started = datetime.now(UTC)
    time.sleep(float(os.environ.get(SECONDS, "0.05")))
    seed = os.urandom(8)
    if REPEATABLE in os.environ:  # the folder has the number of the run, whatever the attempt
        seed = rest["timeseries"].parent.name.encode()
    chance = random.Random(hashlib.sha256(seed).digest()).gauss(0, RUN_SD)
    energy_j = (1 + POINT_STEP * config.n) * float(os.environ.get(EFFECT, "1")) * (1 + chance)
    return make_result(
        config,
        started_at=started.isoformat(),
        ended_at=datetime.now(UTC).isoformat(),
        energy_per_output_token_j=energy_j,
        energy_total_j=50 * energy_j,
        energy_per_device_j={"GPU-1": 50 * energy_j},
    )


if __name__ == "__main__":
    from fakes import shard_studies  # a child process can import the stand-in only by this name

    from llem_cli._commands.study.shard import shard

    sys.exit(shard(Path(sys.argv[1]), int(sys.argv[2]), retry=2, measure=shard_studies.on_a_node))
