"""How much idle power varies decides how uncertain a quiet edge is (CM-11..16)."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from llem_energy._estimation.counter import Reading
from llem_energy._estimation.edge_estimators import CounterWindow
from llem_energy._estimation.idle_noise import IdleNoise, idle_noise

START_S, END_S, PERIOD_S = 2.0, 4.0, 0.1
IDLE_W, LOAD_W = 70.0, 400.0


def test_noise_is_that_of_neighbours() -> None:
    assert idle_noise([[70.0], [72.0]]) is None
    assert idle_noise([[70.0, 72.0, 70.0]]) == pytest.approx(IdleNoise(2**0.5, 0.0, 2))
    # Between two idle times nothing is compared: the board may have become warmer.
    assert idle_noise([[70.0, 72.0], [90.0, 88.0]]) == pytest.approx(IdleNoise(2**0.5, 0.0, 2))


def test_errors_of_updates_are_a_part_of_the_noise_that_is_known() -> None:
    assert idle_noise([[70.0, 72.0, 70.0]], 0.5) == pytest.approx(IdleNoise(1.25**0.5, 0.5, 2))
    # Equal readings of a rounded counter do not show that power is constant.
    rounded = idle_noise([[70.0, 70.0, 70.0]], 0.5)
    assert rounded == IdleNoise(0.0, 0.5, 2)
    assert rounded.likely_j(0.1, PERIOD_S) > 0.1 * 0.5
    # Their size is known, so nothing is added for the small number of intervals.
    assert rounded.explains(2.3) and not rounded.explains(2.5)


def test_the_error_grows_with_the_time_outside_and_falls_with_what_was_seen() -> None:
    few, many = IdleNoise(1.0, 0.0, 2), IdleNoise(1.0, 0.0, 30)
    assert few.likely_j(0.0, PERIOD_S) == 0.0
    assert few.likely_j(0.05, PERIOD_S) < few.likely_j(0.1, PERIOD_S)
    assert many.likely_j(0.1, PERIOD_S) < few.likely_j(0.1, PERIOD_S)
    assert few.explains(4.0) and not many.explains(4.0)


def window(ripple: float, seed: int) -> tuple[float, float, float]:
    """Return energy, uncertainty and truth of a window between idle times with ripple."""
    rng = random.Random(seed)
    start_s, end_s = START_S + 0.003, END_S + rng.uniform(0, PERIOD_S)
    shares = [1 + rng.uniform(-ripple, ripple) for _ in range(100)]
    bends = sorted([start_s, end_s, *(0.07 * k for k in range(100))])
    energy, curve = 0.0, [(0.0, 0.0)]
    for begin_s, after_s in pairwise(bends):
        watts = LOAD_W if start_s <= begin_s < end_s else IDLE_W * shares[int(begin_s / 0.07)]
        energy += watts * (after_s - begin_s)
        curve.append((after_s, energy))

    def energy_j(t_s: float) -> float:
        i = next(i for i, (at_s, _) in enumerate(curve) if at_s >= t_s)
        (t0_s, e0), (t1_s, e1) = curve[max(0, i - 1)], curve[i]
        return e0 + (e1 - e0) * ((t_s - t0_s) / (t1_s - t0_s) if t1_s > t0_s else 0.0)

    times_s = [1.0 + 0.001 * k for k in range(4500)]
    shown = [energy_j(PERIOD_S * int(t / PERIOD_S + 1e-9)) for t in times_s]
    readings = [Reading(t, t, joules) for t, joules in zip(times_s, shown, strict=True)]
    counter = CounterWindow(readings, period_s=PERIOD_S, jitter_s=0.001)
    estimate = counter.estimates(start_s, end_s, guard_s=0.42)[0]
    assert estimate.method == "quiet edge"
    assert estimate.uncertainty_j is not None
    return estimate.energy_j, estimate.uncertainty_j, energy_j(end_s) - energy_j(start_s)


def test_the_uncertainty_of_quiet_edges_follows_the_ripple_and_holds() -> None:
    widths = []
    for ripple in (0.0, 0.02, 0.04):
        seen = [window(ripple, seed) for seed in range(20)]
        n_held = sum(abs(energy_j - truth_j) <= width_j for energy_j, width_j, truth_j in seen)
        assert n_held >= 18
        widths.append(sorted(width_j for _, width_j, _ in seen)[10])
    assert widths[0] < widths[1] < widths[2]
    assert widths[2] < 0.01 * LOAD_W * (END_S - START_S)
