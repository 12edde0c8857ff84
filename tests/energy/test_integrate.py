"""From readings to joules: the bound holds whatever the load does (RES-06, CM-11 to CM-16)."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llem_energy._integrate import Reading, counter_energy, integrated_energy

Energy = Callable[[float], float]


def energy_of(segments: Sequence[tuple[float, float]]) -> Energy:
    """Return joules since 0 under constant powers, given as (seconds, watts); the last one stays."""
    times = [0.0, *accumulate(seconds for seconds, _ in segments)]
    joules = [0.0, *accumulate(seconds * watts for seconds, watts in segments)]

    def at(t_s: float) -> float:
        i = min(bisect_right(times, t_s) - 1, len(segments) - 1)
        return joules[i] + (t_s - times[i]) * segments[i][1]

    return at


def counter(energy: Energy, period_s: float, phase_s: float) -> Energy:
    """Return what a counter shows at an instant: the energy at its last update."""

    def shown(t_s: float) -> float:
        return energy(max(0.0, phase_s + period_s * math.floor((t_s - phase_s) / period_s)))

    return shown


def read(shown: Energy, instants: Sequence[tuple[float, float]]) -> list[Reading]:
    """Return readings at instants, given as (start, duration), taken when half of it is over."""
    return [Reading(t, t + took, shown(t + took / 2)) for t, took in instants]


def every(period_s: float, until_s: float, took_s: float = 0.0) -> list[tuple[float, float]]:
    return [(i * period_s, took_s) for i in range(int(until_s / period_s) + 1)]


def steady(period_s: float = 0.1, watts: float = 200.0) -> Energy:
    return counter(energy_of([(1.0, watts)]), period_s, 0.03)


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
)
def test_the_bound_always_contains_the_truth(
    segments: list[tuple[float, float]],
    period_s: float,
    phase: float,
    tick_s: float,
    took: float,
    seen_at: float,
    start_s: float,
    length_s: float,
    edge_reads: bool,
) -> None:
    energy = energy_of(segments)
    shown = counter(energy, period_s, phase * period_s)
    end_s = start_s + length_s
    # The value is taken anywhere inside the call, which may straddle an end of the window.
    spans = [(t, t + took * tick_s) for t, _ in every(tick_s, end_s + 2.0)]
    if edge_reads:
        spans = sorted({*spans, (start_s, start_s), (end_s, end_s)})
        spans = [
            s for s in spans if s[0] == s[1] or not any(s[0] < e < s[1] for e in (start_s, end_s))
        ]
    readings = [Reading(a, b, shown(a + seen_at * (b - a))) for a, b in spans]
    found = counter_energy(readings, start_s, end_s)
    if found is None:
        return
    truth = energy(end_s) - energy(start_s)
    assert found.low_j - 1e-6 <= truth <= found.high_j + 1e-6
    assert abs(found.energy_j - truth) <= found.bound_j + 1e-6
    assert found.low_j >= 0


def test_an_update_from_before_an_instant_does_not_bound_it_from_above() -> None:
    # The counter moves at 1.01 and is read at 1.05, but the window ends at 1.04: what it shows
    # then is older than the end, and only the update after it encloses the truth.
    readings = [Reading(t, t, shown) for t, shown in [(0, 0), (0.5, 50), (1, 99), (1.05, 101)]]
    assert counter_energy(readings, 0.2, 1.04) is None
    found = counter_energy([*readings, Reading(1.1, 1.1, 111.0)], 0.2, 1.04)
    assert found is not None
    assert found.high_j == 111


def test_constant_power_read_at_both_ends_is_bounded_by_one_period() -> None:
    shown = steady(period_s=0.1, watts=200.0)
    edges = [(0.999, 0.0), (1.001, 0.0), (4.999, 0.0), (5.001, 0.0)]
    readings = read(shown, sorted([*every(0.05, 6.0), *edges]))
    found = counter_energy(readings, 1.0, 5.0)
    assert found is not None
    assert found.high_j - found.low_j <= 2 * 0.1 * 200 + 1e-6
    assert found.energy_j == pytest.approx(800.0, rel=0.02)


def test_a_counter_that_fell_inside_the_window_gives_nothing() -> None:
    readings = read(steady(), every(0.05, 4.0))
    reset = [
        r if r.begin_s < 2 else Reading(r.begin_s, r.end_s, r.energy_j - 390) for r in readings
    ]
    assert counter_energy(reset, 1.0, 3.0) is None


def test_a_counter_that_fell_outside_the_window_still_counts() -> None:
    readings = read(steady(), every(0.05, 5.0))
    reset = [
        r if r.begin_s < 1 else Reading(r.begin_s, r.end_s, r.energy_j - 150) for r in readings
    ]
    found = counter_energy(reset, 2.0, 4.0)
    assert found is not None
    assert abs(found.energy_j - 400) <= found.bound_j


def test_a_counter_that_stands_still_from_the_middle_of_the_window_gives_nothing() -> None:
    shown = steady()
    stalled = read(lambda t_s: shown(min(t_s, 2.0)), every(0.05, 6.0))
    assert counter_energy(stalled, 1.0, 4.0) is None


def test_without_a_reading_before_the_start_there_is_no_figure() -> None:
    readings = [r for r in read(steady(), every(0.05, 4.0)) if r.begin_s > 1.0]
    assert counter_energy(readings, 1.0, 3.0) is None


def test_without_an_update_after_the_end_there_is_no_figure() -> None:
    readings = [r for r in read(steady(), every(0.05, 4.0)) if r.end_s <= 3.0]
    assert counter_energy(readings, 1.0, 3.0) is None
    assert counter_energy([], 1.0, 3.0) is None


def test_trapezoid_of_a_ramp_is_its_closed_form() -> None:
    ramp = [(t / 20, 100 + 50 * t / 20) for t in range(101)]
    found = integrated_energy(ramp, 1.013, 4.377, longest_gap_s=0.1)
    assert found == pytest.approx(100 * 3.364 + 25 * (4.377**2 - 1.013**2))


def test_power_is_not_extrapolated_past_its_readings() -> None:
    readings = [(t / 10, 100.0) for t in range(11)]
    assert integrated_energy(readings, -0.1, 0.5, longest_gap_s=1) is None
    assert integrated_energy(readings, 0.5, 1.1, longest_gap_s=1) is None
    assert integrated_energy([], 0.0, 1.0, longest_gap_s=1) is None
    assert integrated_energy(readings, 0.0, 1.0, longest_gap_s=1) == pytest.approx(100.0)


def test_power_is_not_guessed_over_a_long_gap() -> None:
    readings = [(t / 10, 100.0) for t in range(51) if not 20 < t < 40]
    assert integrated_energy(readings, 1.0, 4.5, longest_gap_s=1.0) is None
    assert integrated_energy(readings, 4.1, 4.9, longest_gap_s=1.0) == pytest.approx(80.0)
