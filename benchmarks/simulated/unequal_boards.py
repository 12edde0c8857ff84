"""A measurement whose energy depends on the board that it was given, and on the point."""

from __future__ import annotations

import hashlib
import os
import random
import time
from datetime import UTC, datetime
from typing import Any

from fakes.results import make_result

from llem_config import ExperimentConfig
from llem_energy import ExperimentResult

BOARDS = {"GPU-unequal-0": 1.0, "GPU-unequal-1": 1.06}
"""Factor of the energies of each scripted board."""
POINT_STEP, RUN_SD = 0.002, 0.005
_SECONDS = 0.05


def measure_on_board(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Return joules per token: 0.2 % more from point to point, times the board, with 0.5 % of chance."""
    started = datetime.now(UTC)
    time.sleep(_SECONDS)
    board = os.environ["CUDA_VISIBLE_DEVICES"]
    chance = random.Random(hashlib.sha256(os.urandom(8)).digest()).gauss(0, RUN_SD)
    energy_j = (1 + POINT_STEP * config.n) * BOARDS[board] * (1 + chance)
    return make_result(
        config,
        started_at=started.isoformat(),
        ended_at=datetime.now(UTC).isoformat(),
        energy_per_output_token_j=energy_j,
        energy_total_j=50 * energy_j,
        energy_per_device_j={board: 50 * energy_j},
    )
