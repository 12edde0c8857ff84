"""A counter that moves in steps of many joules: what its readings do not show (CM-11..16)."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from llem_energy._estimation.counter import Reading
from llem_energy._estimation.edge_estimators import CounterWindow, WindowEstimate

IDLE_W, LOAD_W = 70.0, 400.0
QUANTUM_J, TICK_S = 50.0, 0.1
LENGTH_S = 2.0
GUARD_S = 2.5


def window(
    start_s: float, jitter_s: float, quantum_j: float = QUANTUM_J
) -> tuple[WindowEstimate, float]:
    """Return the estimate of a window that opens at the first update after `start_s`, and its error."""
    begin_s = start_s

    def energy(t_s: float) -> float:
        return IDLE_W * t_s + (LOAD_W - IDLE_W) * min(max(t_s - begin_s, 0.0), LENGTH_S)

    def shown(t_s: float) -> float:
        tick_s = TICK_S * math.floor(t_s / TICK_S + 1e-9)
        return quantum_j * math.floor(energy(tick_s) / quantum_j)

    while shown(begin_s) == shown(begin_s - 0.001):
        begin_s += 0.001
    end_s = begin_s + LENGTH_S
    idle = [0.001 * k for k in range(1, int(1000 * (end_s + GUARD_S)))]
    times_s = [t for t in idle if not begin_s < t < end_s]
    times_s += [begin_s + 0.013 + 0.05 * k for k in range(39)]
    readings = [Reading(t, t, shown(t)) for t in sorted(times_s)]
    assert all(later.begin_s > earlier.begin_s for earlier, later in pairwise(readings))
    counter = CounterWindow(readings, jitter_s=jitter_s)
    estimate = counter.estimates(begin_s, end_s, guard_s=GUARD_S)[0]
    return estimate, estimate.energy_j - LOAD_W * LENGTH_S


STARTS_S = [3.0 + 0.137 * k for k in range(20)]


def test_ticks_that_the_calibration_saw_leave_the_energy_of_a_tick_unknown() -> None:
    seen = [window(start_s, TICK_S + 0.001) for start_s in STARTS_S]
    assert {estimate.method for estimate, _ in seen} == {"quiet edge"}
    widths = sorted(estimate.uncertainty_j or 0.0 for estimate, _ in seen)
    assert widths[len(widths) // 2] < 0.5 * QUANTUM_J
    held = [abs(error_j) <= (estimate.uncertainty_j or 0.0) for estimate, error_j in seen]
    assert sum(held) >= 18


@pytest.mark.parametrize("jitter_s", [0.001, 0.006], ids=["regular", "irregular, but no ticks"])
def test_without_ticks_a_whole_quantum_is_unknown(jitter_s: float) -> None:
    for start_s in STARTS_S:
        estimate, error_j = window(start_s, jitter_s)
        assert estimate.uncertainty_j is not None
        assert estimate.uncertainty_j >= 0.75 * QUANTUM_J
        assert abs(error_j) <= estimate.uncertainty_j
