"""Energy under a power trace: nothing is extrapolated or guessed (RES-06, CM-11 to CM-16)."""

from __future__ import annotations

import math
import random

import pytest

from llem_energy._estimation.power_integral import integrated_energy


def test_trapezoid_of_a_ramp_equals_the_closed_form() -> None:
    ramp = [(t / 20, 100 + 50 * t / 20) for t in range(101)]
    integral = integrated_energy(ramp, 1.013, 4.377, max_gap_s=0.1)
    assert integral is not None
    assert integral.energy_j == pytest.approx(100 * 3.364 + 25 * (4.377**2 - 1.013**2))


def test_power_is_not_extrapolated_past_its_readings() -> None:
    readings = [(t / 10, 100.0) for t in range(11)]
    assert integrated_energy(readings, -0.1, 0.5, max_gap_s=1) is None
    assert integrated_energy(readings, 0.5, 1.1, max_gap_s=1) is None
    assert integrated_energy([], 0.0, 1.0, max_gap_s=1) is None
    integral = integrated_energy(readings, 0.0, 1.0, max_gap_s=1)
    assert integral is not None
    assert integral.energy_j == pytest.approx(100.0)
    assert integral.sampling_j == 0


def test_power_is_not_guessed_over_a_long_gap() -> None:
    readings = [(t / 10, 100.0) for t in range(51) if not 20 < t < 40]
    assert integrated_energy(readings, 1.0, 4.5, max_gap_s=1.0) is None
    integral = integrated_energy(readings, 4.1, 4.9, max_gap_s=1.0)
    assert integral is not None
    assert integral.energy_j == pytest.approx(80.0)


def test_the_sampling_error_counts_updates_and_not_readings() -> None:
    # The sensor is updated every 0.1 s; reading it ten times as often adds no information.
    draw = random.Random(4)
    shown = [draw.choice([100.0, 500.0]) for _ in range(101)]
    often = [(t / 100, shown[t // 10]) for t in range(1001)]
    seldom = [(t / 10, shown[t]) for t in range(101)]
    results = [
        integrated_energy(readings, 0.5, 9.5, max_gap_s=1, period_s=0.1)
        for readings in (often, seldom)
    ]
    assert results[0] is not None and results[1] is not None
    assert results[0].sampling_j == pytest.approx(results[1].sampling_j, rel=0.1)
    assert results[0].sampling_j == pytest.approx(2 * 200 / math.sqrt(90) * 9, rel=0.1)
