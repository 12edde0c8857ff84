"""What a simulated study finds: differences beside noise, after looks, drift and outliers."""

from __future__ import annotations

import math
import random

from benchmarks.simulated.orders import is_any_different, turns
from llem_runner._analysis.complete_blocks import compare_complete_blocks
from llem_runner._analysis.looks import alpha_after
from llem_runner._analysis.outliers import Run, outlying_runs
from llem_runner._analysis.trends import drift as fit_drift


def power_beside_noise(
    *, trials: int = 2000, n_cycles: int = 5, spread_of_third: float = 10.0
) -> float:
    """Return the share of studies that find a true difference of 2 % beside a noisy third point.

    Args:
        trials: number of simulated studies.
        n_cycles: runs of each of the three points, whose standard deviation is 0.3 % of the mean.
        spread_of_third: standard deviation of the third point relative to that of the others.
    """
    noise = random.Random(f"power/{n_cycles}/{spread_of_third}")
    points = ((1.0, 0.003), (1.02, 0.003), (1.0, 0.003 * spread_of_third))
    hits = 0
    for _ in range(trials):
        fit = compare_complete_blocks(
            [[noise.gauss(*point) for point in points] for _ in range(n_cycles)]
        )
        hits += abs(fit.means[0] - fit.means[1]) > fit.half_width(0, 1)
    return hits / trials


def false_differences_after_looks(
    n_points: int, *, corrected: bool = True, first: int = 3, last: int = 12, trials: int = 2000
) -> float:
    """Return the share of studies of identical points that report a difference at any look.

    A person looks at the result after each of `first` to `last` cycles and adds a cycle until two
    points differ.

    Args:
        n_points: number of identical configurations.
        corrected: account for the earlier looks, as a study does.
        first: number of cycles at the first look.
        last: number of cycles at the last look.
        trials: number of simulated studies.
    """
    noise = random.Random(f"looks/{n_points}")
    wrong = 0
    for _ in range(trials):
        blocks = [[noise.gauss(1, 0.01) for _ in range(n_points)] for _ in range(last)]
        wrong += any(
            is_any_different(blocks[:n], alpha_after(range(first, n)) if corrected else 0.05)
            for n in range(first, last + 1)
        )
    return wrong / trials


def intervals_hold(n_points: int, *, share_off: float = 0.0, trials: int = 400) -> float:
    """Return the share of studies in which all intervals of the ratios to the best point hold.

    Args:
        n_points: number of configurations, in 5 cycles; half of them are 2 % above the others.
        share_off: share of the runs that are off by 5 to 10 %.
        trials: number of simulated studies.
    """
    noise = random.Random(f"hold/{n_points}/{share_off}")
    truth = [math.log(1 + 0.02 * (point % 2)) for point in range(n_points)]
    hold = 0
    for _ in range(trials):
        fit = compare_complete_blocks(
            [
                [math.exp(level) * _run(noise, share_off) for level in truth]
                for _ in range(5)
            ]
        )  # fmt: skip
        best = min(range(n_points), key=fit.means.__getitem__)
        hold += all(
            abs(fit.means[i] - fit.means[best] - truth[i] + truth[best]) <= fit.half_width(i, best)
            for i in range(n_points)
            if i != best
        )
    return hold / trials


def drifts_found(
    change: float, n_cycles: int, *, n_points: int = 6, cv: float = 0.005, trials: int = 2000
) -> float:
    """Return the share of shuffled studies that report a drift.

    Args:
        change: true linear change from the first run of a study to the last.
        n_cycles: runs of each configuration.
        n_points: number of identical configurations.
        cv: standard deviation of a run divided by the mean.
        trials: number of simulated studies.
    """
    noise = random.Random(f"drift/{n_cycles}/{n_points}")
    found = 0
    for trial in range(trials):
        logs = [[0.0] * n_points for _ in range(n_cycles)]
        times = [[0.0] * n_points for _ in range(n_cycles)]
        for position, (cycle, point) in enumerate(turns("shuffled", trial, n_points, n_cycles)):
            share = position / (n_points * n_cycles - 1)
            times[cycle][point] = share
            logs[cycle][point] = math.log(1 + change * share) + noise.gauss(0, cv)
        slope = fit_drift(logs, times)
        found += slope is not None and slope.is_clear
    return found / trials


def outliers_found(
    n_points: int, n_cycles: int, *, off: float = 0.08, cv: float = 0.01, trials: int = 2000
) -> tuple[float, float]:
    """Return how often a clean study has an outlier, and how often the only run that is off is one.

    Args:
        n_points: number of configurations.
        n_cycles: runs of each configuration.
        off: share by which the run is off.
        cv: standard deviation of a run divided by the mean.
        trials: number of simulated studies.
    """
    noise = random.Random(f"outliers/{n_points}/{n_cycles}")
    false, found = 0, 0
    for _ in range(trials):
        runs = [
            Run(f"point {point}", cycle, noise.gauss(0, cv))
            for cycle in range(n_cycles)
            for point in range(n_points)
        ]
        false += bool(outlying_runs(runs))
        runs[0] = runs[0]._replace(log=runs[0].log + math.log(1 + off))
        found += 0 in outlying_runs(runs)
    return false / trials, found / trials


def _run(noise: random.Random, share_off: float) -> float:
    """Return the figure of a run with a spread of 1 %, which may be off by 5 to 10 %."""
    value = 1 + noise.gauss(0, 0.01)
    if noise.random() < share_off:
        value *= 1 + noise.choice((-1, 1)) * noise.uniform(0.05, 0.1)
    return value
