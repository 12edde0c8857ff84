"""Energy from the readings of a counter: the bound holds for any load (RES-06, CM-11..16)."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llem_energy._estimation.counter import (
    Reading,
    fell,
    find_updates,
    longest_standstill_s,
    place,
    quantum_j,
)
from llem_energy._estimation.edge_estimators import CounterWindow, WindowEstimate

Energy = Callable[[float], float]


def energy_of(segments: Sequence[tuple[float, float]]) -> Energy:
    """Return joules since 0 under constant powers, given as (seconds, watts)."""
    times = [0.0, *accumulate(seconds for seconds, _ in segments)]
    joules = [0.0, *accumulate(seconds * watts for seconds, watts in segments)]

    def at(t_s: float) -> float:
        i = min(bisect_right(times, t_s) - 1, len(segments) - 1)
        return joules[i] + (t_s - times[i]) * segments[i][1]

    return at


def counter(energy: Energy, period_s: float, phase_s: float) -> Energy:
    """Return the value of a counter at an instant: the energy at its last update."""

    def shown(t_s: float) -> float:
        return energy(max(0.0, phase_s + period_s * math.floor((t_s - phase_s) / period_s)))

    return shown


def read(shown: Energy, instants: Sequence[tuple[float, float]]) -> list[Reading]:
    """Return readings at (start, duration); the value is taken in the middle of each."""
    return [Reading(t, t + took, shown(t + took / 2)) for t, took in instants]


def every(period_s: float, until_s: float, took_s: float = 0.0) -> list[tuple[float, float]]:
    return [(i * period_s, took_s) for i in range(int(until_s / period_s) + 1)]


def steady(period_s: float = 0.1, watts: float = 200.0) -> Energy:
    return counter(energy_of([(1.0, watts)]), period_s, 0.03)


def counter_energy(
    readings: Sequence[Reading], start_s: float, end_s: float
) -> WindowEstimate | None:
    """Return the best estimate for a window, without a calibration."""
    estimates = CounterWindow(readings).estimates(start_s, end_s)
    return estimates[0] if estimates else None


seconds = st.floats(0.01, 3.0)
watts = st.one_of(st.just(0.0), st.floats(1.0, 1000.0))


@settings(max_examples=300, deadline=None)
@given(
    segments=st.lists(st.tuples(seconds, watts), min_size=1, max_size=12),
    period_s=st.floats(0.005, 0.5),
    phase=st.floats(0.0, 0.999),
    tick_s=st.floats(0.01, 0.3),
    took=st.floats(0.0, 0.9),
    seen_at=st.floats(0.0, 1.0),
    start_s=st.floats(1.0, 3.0),
    length_s=st.floats(0.0, 5.0),
    edge_reads=st.booleans(),
    calibrated=st.booleans(),
    limited=st.booleans(),
    guard_s=st.sampled_from([0.0, 0.5, 5.0]),
)
def test_the_bound_always_contains_the_true_energy(
    segments: list[tuple[float, float]],
    period_s: float,
    phase: float,
    tick_s: float,
    took: float,
    seen_at: float,
    start_s: float,
    length_s: float,
    edge_reads: bool,
    calibrated: bool,
    limited: bool,
    guard_s: float,
) -> None:
    energy = energy_of(segments)
    shown = counter(energy, period_s, phase * period_s)
    end_s = start_s + length_s
    # The value is taken anywhere inside the call, which may include an end of the window.
    spans = [(t, t + took * tick_s) for t, _ in every(tick_s, end_s + 2.0)]
    if edge_reads:
        spans = sorted({*spans, (start_s, start_s), (end_s, end_s)})
        spans = [
            s for s in spans if s[0] == s[1] or not any(s[0] < e < s[1] for e in (start_s, end_s))
        ]
    readings = [Reading(a, b, shown(a + seen_at * (b - a))) for a, b in spans]
    counter_of_device = CounterWindow(
        readings,
        period_s=period_s if calibrated else None,
        jitter_s=0.001,
        max_power_w=1000.0 if limited else None,
    )
    truth = energy(end_s) - energy(start_s)
    # Every estimator, even if its assumption about the load does not hold.
    for estimate in counter_of_device.estimates(start_s, end_s, guard_s=guard_s):
        assert estimate.low_j - 1e-6 <= truth <= estimate.high_j + 1e-6
        assert estimate.low_j <= estimate.energy_j <= estimate.high_j
        assert abs(estimate.energy_j - truth) <= estimate.bound_j + 1e-6
        assert estimate.uncertainty_j is not None and estimate.uncertainty_j <= estimate.bound_j
        assert estimate.low_j >= 0


def test_an_update_before_the_end_of_the_window_is_no_upper_bound() -> None:
    # The counter is updated at 1.01 and read at 1.05, but the window ends at 1.04: this value is
    # older than the end, so only the next update is an upper bound.
    readings = [Reading(t, t, shown) for t, shown in [(0, 0), (0.5, 49.999), (1, 99), (1.05, 101)]]
    assert counter_energy(readings, 0.2, 1.04) is None
    estimate = counter_energy([*readings, Reading(1.1, 1.1, 111.0)], 0.2, 1.04)
    assert estimate is not None
    assert estimate.high_j == pytest.approx(111 + 0.001)


def test_constant_power_read_at_both_ends_is_bounded_by_one_period() -> None:
    shown = steady(period_s=0.1, watts=200.0)
    edges = [(0.999, 0.0), (1.001, 0.0), (4.999, 0.0), (5.001, 0.0)]
    readings = read(shown, sorted([*every(0.05, 6.0), *edges]))
    estimate = counter_energy(readings, 1.0, 5.0)
    assert estimate is not None
    assert estimate.high_j - estimate.low_j <= 2 * 0.1 * 200 + 0.0021
    assert estimate.energy_j == pytest.approx(800.0, rel=0.02)


def test_a_counter_that_decreased_inside_the_window_is_detected() -> None:
    readings = read(steady(), every(0.05, 4.0))
    reset = [
        r if r.begin_s < 2 else Reading(r.begin_s, r.end_s, r.energy_j - 390) for r in readings
    ]
    assert fell(reset, 1.0, 3.0)
    assert not fell(reset, 2.5, 3.0)
    assert not fell(readings, 1.0, 3.0)


def test_a_counter_that_decreased_outside_the_window_is_still_used() -> None:
    readings = read(steady(), every(0.05, 5.0))
    reset = [
        r if r.begin_s < 1 else Reading(r.begin_s, r.end_s, r.energy_j - 150) for r in readings
    ]
    estimate = counter_energy(reset, 2.0, 4.0)
    assert estimate is not None
    assert abs(estimate.energy_j - 400) <= estimate.bound_j


def test_a_counter_that_stops_during_the_window_gives_no_energy() -> None:
    shown = steady()
    stalled = read(lambda t_s: shown(min(t_s, 2.0)), every(0.05, 6.0))
    assert counter_energy(stalled, 1.0, 4.0) is None


def test_without_a_reading_before_the_start_there_is_no_energy() -> None:
    readings = [r for r in read(steady(), every(0.05, 4.0)) if r.begin_s > 1.0]
    assert counter_energy(readings, 1.0, 3.0) is None


def test_without_an_update_after_the_end_there_is_no_energy() -> None:
    readings = [r for r in read(steady(), every(0.05, 4.0)) if r.end_s <= 3.0]
    assert counter_energy(readings, 1.0, 3.0) is None
    assert counter_energy([], 1.0, 3.0) is None


def test_the_longest_time_without_an_update_is_measured() -> None:
    shown = steady()
    readings = read(lambda t_s: shown(t_s if not 1.5 < t_s < 2.4 else 1.5), every(0.05, 5.0))
    assert longest_standstill_s(readings, 1.0, 3.0) == pytest.approx(0.95, abs=0.06)
    assert longest_standstill_s(readings, 3.0, 4.0) < 0.11
    # There are no readings for a second at a time, so a stall cannot be detected.
    seldom = read(shown, every(1.0, 5.0))
    assert longest_standstill_s(seldom, 0.0, 5.0) == 0


def test_neighbours_locate_an_update_more_precisely_than_its_readings() -> None:
    # Readings every 50 ms see updates every 103 ms at changing distances, so all readings together
    # locate an update more precisely than each alone.
    shown = counter(energy_of([(1.0, 300.0)]), 0.103, 0.03)
    updates = find_updates(read(shown, every(0.05, 3.0)), 0.103)
    middle = len(updates) // 2
    at_s, off_s = place(updates, middle, 0.103, 0.001)
    truth_s = 0.03 + 0.103 * round((at_s - 0.03) / 0.103)
    assert abs(at_s - truth_s) <= off_s + 1e-9
    assert off_s < 0.012
    assert (updates[middle].latest_s - updates[middle].earliest_s) / 2 > 0.02


def test_neighbours_that_contradict_each_other_are_ignored() -> None:
    # Updates at irregular times: the calibrated period is wrong, so only the two readings around
    # an update count.
    instants = [0.0, 0.13, 0.19, 0.41, 0.44, 0.71, 0.83, 1.06]
    readings = read(lambda t_s: float(sum(at <= t_s for at in instants)), every(0.01, 1.2))
    updates = find_updates(readings)
    update = updates[4]
    at_s, off_s = place(updates, 4, 0.1, 0.001)
    assert at_s == pytest.approx(update.middle_s)
    assert off_s == pytest.approx((update.latest_s - update.earliest_s) / 2)


def test_the_power_limit_tightens_the_bound_after_a_recent_update() -> None:
    shown = steady(period_s=0.1, watts=200.0)  # updates at 0.03 + k * 0.1
    readings = read(
        shown, sorted([*every(0.05, 6.0), *[(1.02 + i / 1000, 0.0) for i in range(15)]])
    )
    loose = CounterWindow(readings).estimates(1.034, 5.0)[0]
    tight = CounterWindow(readings, max_power_w=800.0).estimates(1.034, 5.0)[0]
    assert tight.high_j - tight.low_j < loose.high_j - loose.low_j - 10
    assert tight.low_j <= 200 * (5.0 - 1.034) <= tight.high_j


def test_a_coarse_quantum_is_seen_and_widens_bound_and_uncertainty() -> None:
    def shown_j(t_s: float) -> float:
        return 50.0 * round((70.0 * t_s + 330.0 * min(max(t_s - 2.0, 0.0), 2.0)) / 50.0)

    readings = [Reading(t, t, shown_j(t)) for t in (0.1 * k for k in range(80))]
    counter = CounterWindow(readings, period_s=0.1)
    assert counter.quantum_j == pytest.approx(50.0)
    estimate = counter.estimates(2.0, 4.0)[0]
    assert abs(estimate.energy_j - 800.0) <= estimate.bound_j
    assert estimate.bound_j >= 50.0
    assert estimate.uncertainty_j is not None and estimate.uncertainty_j >= 40.0


def test_constant_power_is_no_quantum() -> None:
    assert quantum_j(find_updates([Reading(0.1 * k, 0.1 * k, 40.0 * k) for k in range(9)])) == 0.0
    fine = [Reading(0.1 * k, 0.1 * k, 40.0 * k + 0.001 * (k % 3)) for k in range(9)]
    assert quantum_j(find_updates(fine)) == pytest.approx(0.001)
