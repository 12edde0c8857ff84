"""How often the statistics of a study are right, on simulated studies with a known truth.

    uv run python benchmarks/energy_statistics.py [--trials 4000]

Coverage: how often the 95 % interval of a point contains the true mean, for Student's t and for the
common percentile bootstrap. False differences: identical configurations; how often any two of them
are reported as different, by the order of the runs on a machine that drifts, with points that
spread unequally, and if a person adds cycles until two points differ. Power: how often a true
difference is found beside a noisy point. Then drift, outliers, and all intervals of large studies.
The orders are those of `schedule()`. The seeds are fixed, so the tables are the same on every machine.
Exits with code 1 if a goal is missed; fewer trials than 4000 are too few to judge that.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks is not installed

from benchmarks.simulated.findings import (
    drifts_found,
    false_differences_after_looks,
    intervals_hold,
    outliers_found,
    power_beside_noise,
)
from benchmarks.simulated.orders import Order, false_differences
from benchmarks.simulated.points import bootstrap_interval, coverage

_TRIALS = 4000
_missed: list[str] = []


def _judged(rate: float, goal: float, name: str, *, at_least: bool = False) -> str:
    """Return a rate as a cell, and remember it if it misses its goal."""
    if rate < goal if at_least else rate > goal:
        _missed.append(f"{name}: {rate:.2%}, goal {'>=' if at_least else '<='} {goal:.1%}")
    return f"{rate:>8.2%}"


def print_coverage(trials: int) -> None:
    """Print how often the interval of a point contains the true mean."""
    print("coverage of the nominal 95 % interval, CV 2 %")
    print(f"{'runs':>6} {'Student t':>10} {'bootstrap':>10}")
    for n in (3, 5, 7, 10, 20):
        bootstrap = coverage(n, trials=trials // 4, interval=bootstrap_interval)
        print(f"{n:>6} {coverage(n, trials=trials):>10.1%} {bootstrap:>10.1%}")


def print_orders(trials: int) -> None:
    """Print false differences by the order of the runs."""
    print("\nfalse differences, 6 identical points x 5 cycles, 3 % drift; goal, shuffled: <= 6.5 %")
    print(f"{'order':>12} {'CV':>6} {'plain means':>12} {'cycles removed':>15}")
    orders: tuple[Order, ...] = ("sequential", "interleaved", "shuffled")
    for order, cv in product(orders, (0.0025, 0.005, 0.01, 0.02)):
        plain = false_differences(order, adjusted=False, cv=cv, trials=trials)
        blocked = false_differences(order, cv=cv, trials=trials)
        goal = 0.065 if order == "shuffled" else 1.0
        cell = _judged(blocked, goal, f"drift, {order}, CV {cv:.2%}")
        print(f"{order:>12} {cv:>6.2%} {plain:>12.1%} {cell:>15}")
    print("\nfalse differences by what every cycle repeats, CV 0.5 %; goal, shuffled: <= 6.5 %")
    print(f"{'order':>12} {'first run -2 %':>15} {'warm-up 3 %':>12}")
    for order in orders[1:]:
        cooler = false_differences(order, drift=0.0, cooler_first_run=0.02, trials=trials)
        warmer = false_differences(order, drift=0.0, warm_up=0.03, trials=trials)
        goal = 0.065 if order == "shuffled" else 1.0
        print(
            f"{order:>12} {_judged(cooler, goal, f'first run, {order}'):>15} "
            f"{_judged(warmer, goal, f'warm-up, {order}'):>12}"
        )
    print("A study compares no points in sequential or interleaved order.")


def print_spreads(trials: int) -> None:
    """Print false differences and power if some points spread more than the others."""
    print("\nfalse differences, shuffled, no drift, some points spread more; goal <= 6.5 %")
    columns = ((1, 1.0), (1, 5.0), (1, 10.0), (2, 5.0), (2, 10.0))
    names = [f"{n} by {spread:.0f} x" if spread > 1 else "none" for n, spread in columns]
    print(f"{'points':>6} {'cycles':>6} " + " ".join(f"{name:>9}" for name in names))
    for n_points, n_cycles in product((6, 20), (3, 4, 5, 7, 10)):
        cells = []
        for (n_noisy, spread), name in zip(columns, names, strict=True):
            rate = false_differences(
                "shuffled", drift=0.0, cv=0.01, n_points=n_points, n_cycles=n_cycles,
                n_noisy=n_noisy, noisy_spread=spread, trials=trials // 2,
            )  # fmt: skip
            cells.append(_judged(rate, 0.065, f"{n_points} points, {n_cycles} cycles, {name}"))
        print(f"{n_points:>6} {n_cycles:>6} " + " ".join(f"{cell:>9}" for cell in cells))
    print("\na true 2 % is found, 3 points, CV 0.3 %; goal >= 95 %")
    print(f"{'cycles':>6} {'third 1 x':>10} {'third 10 x':>11}")
    for n_cycles in (3, 4, 5, 10):
        alone, beside = (
            power_beside_noise(trials=trials, n_cycles=n_cycles, spread_of_third=spread)
            for spread in (1.0, 10.0)
        )
        # The goal is for the usual five cycles.
        goal = 0.95 if n_cycles >= 5 else 0.0
        cell = _judged(beside, goal, f"power, {n_cycles} cycles", at_least=True)
        print(f"{n_cycles:>6} {alone:>10.1%} {cell:>11}")


def print_looks(trials: int) -> None:
    """Print false differences if a person looks after every cycle and adds another."""
    print("\nfalse differences, a look after each of 3 to 12 cycles; goal <= 6 %")
    print(f"{'points':>6} {'without correction':>19} {'as a study does':>16}")
    for n_points in (2, 6):
        plain = false_differences_after_looks(n_points, corrected=False, trials=trials // 2)
        corrected = false_differences_after_looks(n_points, trials=trials // 2)
        cell = _judged(corrected, 0.06, f"looks, {n_points} points")
        print(f"{n_points:>6} {plain:>19.1%} {cell:>16}")


def print_warnings(trials: int) -> None:
    """Print how often drift and outliers are reported."""
    print("\ndrift is reported, 6 points, CV 0.5 %, shuffled; goal without drift <= 6.5 %")
    print(f"{'cycles':>6} {'drift 0':>8} {'drift 1 %':>10} {'drift 3 %':>10}")
    for n_cycles in (3, 4, 5, 10):
        none, small, large = (
            drifts_found(change, n_cycles, trials=trials // 2) for change in (0.0, 0.01, 0.03)
        )
        cell = _judged(none, 0.065, f"drift, {n_cycles} cycles")
        print(f"{n_cycles:>6} {cell:>8} {small:>10.1%} {large:>10.1%}")
    print("\noutliers, CV 1 %; goal in a clean study <= 6.5 %")
    print(f"{'points':>6} {'cycles':>6} {'clean study':>12} {'a run +8 %':>11}")
    for n_points, n_cycles in product((6, 20), (3, 5, 10)):
        false, found = outliers_found(n_points, n_cycles, trials=trials // 4)
        cell = _judged(false, 0.065, f"outliers, {n_points} points, {n_cycles} cycles")
        print(f"{n_points:>6} {n_cycles:>6} {cell:>12} {found:>11.1%}")


def print_large_studies(trials: int) -> None:
    """Print how often all intervals of a study hold at once."""
    print("\nall ratios to the best hold at once, 5 cycles, CV 1 %; goal >= 93.5 %")
    print(f"{'points':>6} {'clean':>8} {'2 % of runs off by 5 to 10 %':>29}")
    for n_points in (6, 24, 96, 216):
        clean, off = (
            _judged(
                intervals_hold(n_points, share_off=share, trials=max(50, trials // 10)), 0.935,
                f"intervals, {n_points} points, {share:.0%} off", at_least=True,
            )
            for share in (0.0, 0.02)
        )  # fmt: skip
        print(f"{n_points:>6} {clean:>8} {off:>29}")


def main() -> int:
    """Print all tables; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description="statistics on simulated studies")
    parser.add_argument("--trials", type=int, default=_TRIALS)
    trials = parser.parse_args().trials
    start = time.perf_counter()
    error = 1.96 * math.sqrt(0.05 * 0.95 / trials)
    print(
        f"{platform.machine()}, Python {platform.python_version()}, {trials} trials per figure; a "
        "half for spreads, looks and drift; a quarter for outliers and the bootstrap; a tenth for "
        "large studies"
    )
    print(f"(95 % interval of a figure whose true value is 5 % or 95 %: +-{error:.1%})\n")
    for part in (
        print_coverage, print_orders, print_spreads, print_looks, print_warnings,
        print_large_studies,
    ):  # fmt: skip
        part(trials)
        sys.stdout.flush()
    is_judged = trials >= _TRIALS
    verdict = (
        "missed" if is_judged else f"beyond the goal by chance or not, with < {_TRIALS} trials"
    )
    print(f"\n{verdict}: {'; '.join(_missed)}" if _missed else "\nall goals reached")
    print(f"{time.perf_counter() - start:.0f} s")
    return 1 if _missed and is_judged else 0


if __name__ == "__main__":
    sys.exit(main())
