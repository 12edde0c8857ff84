"""Intervals of one simulated point."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence

from llem_runner._analysis.statistics import mean_interval

Interval = Callable[[Sequence[float]], tuple[float, float] | None]


def coverage(
    n: int, *, trials: int = 4000, cv: float = 0.02, interval: Interval = mean_interval
) -> float:
    """Return the share of simulated points of `n` runs whose interval contains the true mean.

    Args:
        n: runs of the point, n >= 3.
        trials: number of simulated points.
        cv: true standard deviation of a run divided by the mean; runs are normally distributed.
        interval: the method under test.
    """
    noise = random.Random(f"coverage/{n}")
    hits = 0
    for _ in range(trials):
        bounds = interval([noise.gauss(1, cv) for _ in range(n)])
        hits += bounds is not None and bounds[0] <= 1 <= bounds[1]
    return hits / trials


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean, from 500 resamples."""
    resample = random.Random(len(values))
    means = sorted(statistics.fmean(resample.choices(values, k=len(values))) for _ in range(500))
    return means[12], means[487]
