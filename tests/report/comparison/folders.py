"""Real study folders, measured in this process by a meter whose figures are known."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fakes.results import make_result
from fakes.studies import study

from llem_config import ExperimentConfig
from llem_energy import ExperimentResult
from llem_runner import run_study
from llem_runner._executors.inline import InlineExecutor


class KnownMeter:
    """A stand-in for `measure`: 2 J per token times `n`, with the noise of cycles and of runs."""

    def __init__(
        self,
        seed: int,
        n_points: int,
        *,
        factor: float = 1.0,
        factors: Mapping[int, float] | None = None,
        noise: float = 0.004,
        cycle_sd: float = 0.002,
        **changes: Any,
    ) -> None:
        """Make a meter.

        Args:
            seed: of the noise.
            n_points: of the study.
            factor: multiplies the energy of all points.
            factors: multiplies the energy of single points, by `n`.
            noise: standard deviation of the logarithm of a run.
            cycle_sd: the same of what all runs of a cycle share.
            changes: fields of all results.
        """
        self.random = random.Random(seed)
        self.n_points = n_points
        self.factor = factor
        self.factors = factors or {}
        self.noise = noise
        self.cycle_sd = cycle_sd
        self.changes = changes
        self.n_calls = 0
        self.cycle_effect = 0.0

    def __call__(self, config: ExperimentConfig, **_: Any) -> ExperimentResult:
        if self.n_calls % self.n_points == 0:
            self.cycle_effect = self.random.gauss(0, self.cycle_sd)
        self.n_calls += 1
        effect = self.cycle_effect + self.random.gauss(0, self.noise)
        factor = self.factor * self.factors.get(config.n, 1.0) * math.exp(effect)
        now = datetime.now(UTC)
        return make_result(
            config,
            **{
                "started_at": now.isoformat(),
                "ended_at": (now + timedelta(seconds=1)).isoformat(),
                "energy_per_output_token_j": 2.0 * config.n * factor,
                "tokens_per_second": 50.0 / factor,
            }
            | self.changes,
        )


def make_folder(
    results: Path,
    seed: int,
    *,
    ns: Sequence[int] = (1, 2, 3, 4),
    cycles: int = 5,
    execution: Mapping[str, Any] | None = None,
    **meter: Any,
) -> Path:
    """Return the folder of a completed study with one point per `n`."""
    planned = study(ns, n_cycles=cycles, **{"cycle_order": "shuffled", **(execution or {})})
    parent = results / f"{seed}"
    run_study(
        planned,
        output=parent,
        measure=KnownMeter(seed, len(ns), **meter),
        executor=InlineExecutor(),
    )
    (folder,) = parent.iterdir()
    return folder
