"""Outliers are found by one test over all runs of a study."""

from __future__ import annotations

import math
import random

import pytest

from benchmarks.simulated.findings import outliers_found
from llem_runner._analysis.outliers import Run, outlying_runs


def runs_of(*points: list[float]) -> list[Run]:
    """Return the runs of points with these figures, one per cycle."""
    return [
        Run(f"point {number}", cycle, math.log(value))
        for number, values in enumerate(points)
        for cycle, value in enumerate(values)
    ]


@pytest.mark.parametrize("n_cycles", [3, 5])
def test_a_study_without_outliers_rarely_has_one(n_cycles: int) -> None:
    # Grubbs' test of each point found one in 66 % of such studies.
    false, _ = outliers_found(20, n_cycles, trials=100)
    assert false <= 0.12


@pytest.mark.parametrize(("n_points", "n_cycles"), [(6, 3), (6, 5), (20, 3)])
def test_a_run_that_is_8_percent_off_is_found(n_points: int, n_cycles: int) -> None:
    _, found = outliers_found(n_points, n_cycles, trials=100)
    assert found >= 0.6


def test_a_run_far_from_the_others_is_an_outlier_and_normal_spread_is_not() -> None:
    assert outlying_runs(runs_of([1.00, 1.01, 1.20, 0.99, 1.00])) == [2]
    assert outlying_runs(runs_of([1.00, 1.01, 1.02, 0.99, 1.00])) == []
    assert outlying_runs(runs_of([2.0] * 5)) == []
    assert outlying_runs(runs_of([1.0, 5.0])) == []
    assert outlying_runs([]) == []


def test_a_cycle_that_is_slower_as_a_whole_has_no_outlier() -> None:
    first = [1.00, 1.01, 0.99, 1.00]
    slow = [value * factor for value, factor in zip(first, (1, 1, 1.3, 1), strict=True)]
    other = [2.02, 2.00, 2.61, 1.99]
    assert outlying_runs(runs_of(slow, other, [0.995, 1.0, 1.31, 1.005])) == []


def test_at_most_a_minority_of_the_runs_of_a_point_are_outliers() -> None:
    quiet = [1.0, 1.001, 0.999, 1.0, 1.0005]
    found = outlying_runs(runs_of([1.0, 1.3, 1.31, 1.5, 1.0], quiet, quiet[::-1]))
    assert len(found) <= 2


def test_outliers_agree_with_a_published_example() -> None:
    # NIST/SEMATECH e-Handbook 1.3.5.17.1, uranium isotope data; one outlier, the last.
    values = [199.31, 199.53, 200.19, 200.82, 201.92, 201.95, 202.18, 245.57]
    assert outlying_runs(runs_of(values)) == [7]


def test_a_run_can_be_an_outlier_where_another_run_of_its_point_is_further_off() -> None:
    """All runs of cycle 4 are low, which the test removes; that of point 0 in cycle 2 is low alone."""
    noise = random.Random(3)
    runs = [
        Run(
            f"{point}",
            cycle,
            point + noise.gauss(0, 0.005) - 0.6 * (cycle == 4) - 0.4 * (cycle == 2 and point == 0),
        )
        for cycle in range(1, 6)
        for point in range(4)
    ]
    (outlier,) = outlying_runs(runs)
    assert (runs[outlier].point, runs[outlier].cycle) == ("0", 2)
    assert min(run.log for run in runs if run.point == "0") < runs[outlier].log - 0.1
