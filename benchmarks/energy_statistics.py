"""How often the statistics of a study are right, on simulated studies with a known truth.

    uv run python benchmarks/energy_statistics.py [--trials 4000]

Coverage: how often the 95 % interval of a point contains the true mean, for Student's t and for the
common percentile bootstrap. False differences: six identical configurations, five runs each, on a
machine that drifts by 3 % from the first run to the last; how often any two of them are reported as
different, by the order of the runs and with or without removal of the cycle effects. The orders are
those of `schedule()`. The seeds are fixed, so the table is the same on every machine.
"""

from __future__ import annotations

import argparse
import math
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

from llem_config import ExecutionConfig, ExperimentConfig, StudyConfig
from llem_runner._analysis.quantiles import range_quantile
from llem_runner._analysis.statistics import fit_blocks, mean_interval
from llem_runner.plan import schedule

Order = Literal["sequential", "interleaved", "shuffled"]
Interval = Callable[[Sequence[float]], tuple[float, float] | None]


def coverage(
    n: int, *, trials: int = 4000, cv: float = 0.02, interval: Interval = mean_interval
) -> float:
    """Return the share of simulated points of `n` runs whose interval contains the true mean.

    Args:
        n: runs of the point, n >= 2.
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


def false_differences(
    order: Order,
    *,
    adjusted: bool = True,
    trials: int = 2000,
    cv: float = 0.005,
    drift: float = 0.03,
    n_points: int = 6,
    n_cycles: int = 5,
    spread_of_first: float = 1.0,
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
        spread_of_first: standard deviation of the first point relative to that of the others.
    """
    noise = random.Random(f"{order}/{cv}/{n_points}/{n_cycles}")
    n_runs = n_points * n_cycles
    wrong = 0
    for trial in range(trials):
        blocks = [[0.0] * n_points for _ in range(n_cycles)]
        for position, (cycle, point) in enumerate(turns(order, trial, n_points, n_cycles)):
            level = 1 + drift * position / (n_runs - 1)
            blocks[cycle][point] = level * (
                1 + noise.gauss(0, cv if point else cv * spread_of_first)
            )
        wrong += _is_any_different(blocks, adjusted=adjusted)
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


def _is_any_different(blocks: Sequence[Sequence[float]], *, adjusted: bool) -> bool:
    """Return whether the interval of the ratio of the two most different points excludes 1."""
    if adjusted:
        fit = fit_blocks(blocks)
        return max(fit.means) - min(fit.means) > fit.half_width
    points = [[math.log(value) for value in column] for column in zip(*blocks, strict=True)]
    means = [statistics.fmean(point) for point in points]
    df = len(points) * (len(blocks) - 1)
    sd = math.sqrt(statistics.fmean(statistics.variance(point) for point in points))
    half = range_quantile(0.95, len(points), df) * sd / math.sqrt(len(blocks))
    return max(means) - min(means) > half


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="statistics on simulated studies")
    parser.add_argument("--trials", type=int, default=4000)
    trials = parser.parse_args().trials
    start = time.perf_counter()
    error = 1.96 * math.sqrt(0.05 * 0.95 / trials)
    print(f"{platform.machine()}, Python {platform.python_version()}, {trials} trials per figure, "
          f"a quarter of them for the bootstrap")  # fmt: skip
    print(f"(95 % interval of a figure whose true value is 5 % or 95 %: +-{error:.1%})\n")
    print("coverage of the nominal 95 % interval, CV 2 %")
    print(f"{'runs':>6} {'Student t':>10} {'bootstrap':>10}")
    for n in (2, 3, 5, 7, 10, 20):
        bootstrap = coverage(n, trials=trials // 4, interval=bootstrap_interval)
        print(f"{n:>6} {coverage(n, trials=trials):>10.1%} {bootstrap:>10.1%}")
    print("\nfalse differences, 6 identical configurations x 5 cycles, 3 % drift; goal <= 7 %")
    print(f"{'order':>12} {'CV':>6} {'plain means':>12} {'cycles removed':>17}")
    for order in ("sequential", "interleaved", "shuffled"):
        for cv in (0.0025, 0.005, 0.01, 0.02):
            plain = false_differences(order, adjusted=False, cv=cv, trials=trials)
            blocked = false_differences(order, cv=cv, trials=trials)
            print(f"{order:>12} {cv:>6.2%} {plain:>12.1%} {blocked:>17.1%}")
    wide = false_differences("shuffled", drift=0.0, spread_of_first=4.0, trials=trials)
    print(f"\nshuffled, no drift, one point with 4 times the standard deviation: {wide:.1%}")
    print("A study does not compare points in sequential order: its cycles are not blocks in time.")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
