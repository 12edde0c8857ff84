"""Drift over a study and the place in a cycle are found, and not where there is none."""

from __future__ import annotations

import math
import random

import pytest

from benchmarks.simulated.findings import drifts_found
from llem_runner._analysis.trends import drift, position_effects

ORDERS = ((0, 1, 2), (2, 0, 1), (1, 2, 0), (0, 2, 1), (1, 0, 2))
"""The place of three points in each of five cycles."""
NOISE = random.Random("trends")
LOGS = [[NOISE.gauss(0, 0.001) for _ in range(3)] for _ in range(5)]
TIMES = [[60.0 * (3 * cycle + place) for place in row] for cycle, row in enumerate(ORDERS)]


@pytest.mark.parametrize("n_cycles", [3, 4, 5])
def test_a_drift_of_3_percent_is_found_from_three_cycles_on(n_cycles: int) -> None:
    assert drifts_found(0.03, n_cycles, trials=200) >= 0.95


@pytest.mark.parametrize("n_cycles", [3, 5])
def test_a_study_without_drift_rarely_has_one(n_cycles: int) -> None:
    assert drifts_found(0.0, n_cycles, trials=600) <= 0.08


def test_a_drift_is_the_change_from_the_first_run_to_the_last() -> None:
    logs = [
        [log + 0.05 * time / TIMES[-1][0] for log, time in zip(*rows, strict=True)]
        for rows in zip(LOGS, TIMES, strict=True)
    ]
    slope = drift(logs, TIMES)
    assert slope is not None
    assert slope.is_clear
    span = max(map(max, TIMES)) / TIMES[-1][0]
    assert slope.change == pytest.approx(0.05 * span, abs=2 * slope.half_width)


def test_two_cycles_or_one_point_or_equal_times_have_no_drift() -> None:
    assert drift(LOGS[:2], TIMES[:2]) is None
    assert drift([row[:1] for row in LOGS], [row[:1] for row in TIMES]) is None
    assert drift(LOGS, [[0.0] * 3] * 5) is None


def test_a_cooler_first_run_of_each_cycle_is_found() -> None:
    logs = [
        [log + math.log(0.98) * (place == 0) for log, place in zip(*rows, strict=True)]
        for rows in zip(LOGS, ORDERS, strict=True)
    ]
    _, first = position_effects(logs, ORDERS)
    assert first is not None
    assert first.is_clear
    assert first.change == pytest.approx(-0.02, abs=0.004)
    _, none = position_effects(LOGS, ORDERS)
    assert none is not None
    assert not none.is_clear


def test_a_constant_order_has_no_effect_of_the_place() -> None:
    assert position_effects(LOGS, [[0, 1, 2]] * 5) == (None, None)
