"""Simulated studies of identical points, in the orders that a study can have."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import Literal

from llem_config import ExecutionConfig, ExperimentConfig, StudyConfig
from llem_runner._analysis.complete_blocks import compare_complete_blocks
from llem_runner._analysis.quantiles import range_quantile
from llem_runner.plan import schedule

Order = Literal["sequential", "interleaved", "shuffled"]
Blocks = Sequence[Sequence[float]]
"""One row per cycle, with the figure of every point."""


def false_differences(
    order: Order,
    *,
    adjusted: bool = True,
    trials: int = 2000,
    cv: float = 0.005,
    drift: float = 0.03,
    n_points: int = 6,
    n_cycles: int = 5,
    n_noisy: int = 1,
    noisy_spread: float = 1.0,
    cooler_first_run: float = 0.0,
    warm_up: float = 0.0,
) -> float:
    """Return the share of studies in which two of the identical points are reported as different.

    Args:
        order: order of the runs, from `schedule()` with a new seed for every study.
        adjusted: remove the cycle effects, as a study does; otherwise compare plain means.
        trials: number of simulated studies.
        cv: standard deviation of a run divided by the mean.
        drift: linear change from the first run of a study to the last.
        n_points: number of identical configurations.
        n_cycles: runs of each configuration.
        n_noisy: number of points that spread more than the others.
        noisy_spread: their standard deviation relative to that of the others.
        cooler_first_run: share by which the first run of every cycle is lower.
        warm_up: linear change from the first run of a cycle to its last.
    """
    noise = random.Random(f"{order}/{cv}/{n_points}/{n_cycles}")
    n_runs = n_points * n_cycles
    wrong = 0
    for trial in range(trials):
        blocks = [[0.0] * n_points for _ in range(n_cycles)]
        for position, (cycle, point) in enumerate(turns(order, trial, n_points, n_cycles)):
            level = 1 + drift * position / (n_runs - 1)
            place = position % n_points  # within the cycle, unless the order is sequential
            level *= 1 + warm_up * place / (n_points - 1) - cooler_first_run * (place == 0)
            spread = cv * noisy_spread if point < n_noisy else cv
            blocks[cycle][point] = level * (1 + noise.gauss(0, spread))
        wrong += is_any_different(blocks) if adjusted else _do_plain_means_differ(blocks)
    return wrong / trials


def turns(order: Order, seed: int, n_points: int, n_cycles: int) -> list[tuple[int, int]]:
    """Return cycle and point of every run in execution order, counted from 0."""
    execution = ExecutionConfig(n_cycles=n_cycles, cycle_order=order, shuffle_seed=seed)
    runs = schedule(_study(n_points).model_copy(update={"execution": execution}))
    return [(run.cycle - 1, run.config.n - 1) for run in runs]


@cache
def _study(n_points: int) -> StudyConfig:
    numbers = range(1, n_points + 1)
    return StudyConfig(experiments=tuple(ExperimentConfig(model="simulated", n=n) for n in numbers))


def is_any_different(blocks: Blocks, alpha: float = 0.05) -> bool:
    """Return whether a study reports any two of its points as different.

    Args:
        blocks: the figures.
        alpha: how often any interval of a study may be wrong.
    """
    fit = compare_complete_blocks(blocks, alpha)
    pairs = combinations(range(len(fit.means)), 2)
    return any(abs(fit.means[i] - fit.means[j]) > fit.half_width(i, j) for i, j in pairs)


def _do_plain_means_differ(blocks: Blocks) -> bool:
    """Return whether the two most different means differ, if cycles are not removed."""
    points = [[math.log(value) for value in column] for column in zip(*blocks, strict=True)]
    means = [statistics.fmean(point) for point in points]
    df = len(points) * (len(blocks) - 1)
    sd = math.sqrt(statistics.fmean(statistics.variance(point) for point in points))
    half = range_quantile(0.95, len(points), df) * sd / math.sqrt(len(blocks))
    return max(means) - min(means) > half
