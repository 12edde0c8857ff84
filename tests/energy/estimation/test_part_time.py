"""What a counter can miss that observes the board only part of the time (CM-17..19)."""

from __future__ import annotations

import pytest

from llem_energy._estimation.counter import Reading
from llem_energy._estimation.edge_estimators import CounterWindow
from llem_energy._estimation.part_time import (
    Unseen,
    saw_the_end,
    unseen,
    with_unseen,
)
from llem_energy._metering.window import MeasuredSpan

PERIOD_S, SEEN_S = 0.1, 0.025
IDLE_W, LOAD_W = 70.0, 400.0


def part_time_counter(
    step_s: float, start_s: float, end_s: float, seen_s: float = SEEN_S
) -> tuple[CounterWindow, float]:
    """Return a counter that adds a period times the power at its end, and the true energy."""

    def power_w(t_s: float) -> float:
        if not start_s <= t_s < end_s:
            return IDLE_W
        return LOAD_W * (1.3 if (t_s - start_s) % step_s < step_s / 2 else 0.7)

    def mean_w(a: float, b: float) -> float:
        n = 200
        return sum(power_w(a + (b - a) * (k + 0.5) / n) for k in range(n)) / n

    shown, readings = 1000.0, []
    for k in range(1, int((end_s + 1) / PERIOD_S)):
        update_s = k * PERIOD_S
        shown += PERIOD_S * mean_w(update_s - seen_s, update_s)
        readings += [Reading(t, t, shown) for t in (update_s, update_s + 0.098)]
    truth_j = (end_s - start_s) * mean_w(start_s, end_s)
    return CounterWindow(readings, period_s=PERIOD_S, max_power_w=1000.0), truth_j


@pytest.mark.parametrize("end_s", [4.03, 4.05, 4.07, 4.09])
def test_the_bound_of_a_part_time_counter_contains_the_truth(end_s: float) -> None:
    start_s = 2.003
    counter, truth_j = part_time_counter(0.04, start_s, end_s)
    estimate = counter.estimates(start_s, end_s, guard_s=0.4)[0]
    missed_j = abs(estimate.energy_j - truth_j)
    assert missed_j > estimate.bound_j, "the bound alone would be wrong, so this tests something"
    wide = with_unseen(estimate, unseen(counter, start_s, end_s), beats=False)
    assert missed_j <= wide.bound_j
    assert wide.uncertainty_j is not None and estimate.uncertainty_j is not None
    assert estimate.uncertainty_j < wide.uncertainty_j <= wide.bound_j


def test_constant_power_hides_nothing() -> None:
    readings = [Reading(t, t, 100.0 * round(t, 1)) for t in (0.1 * k for k in range(60))]
    counter = CounterWindow(readings, period_s=PERIOD_S)
    missed = unseen(counter, 2.03, 4.07)
    assert (missed.possible_j, missed.likely_j) == pytest.approx((0.0, 0.0), abs=1e-6)


@pytest.mark.parametrize("prefill_s", [0.03, 0.06, 0.075])
def test_a_short_prefill_at_the_start_may_not_be_seen_at_all(prefill_s: float) -> None:
    """The window opens at an update, so the prefill is in the part that is not observed."""
    start_s, end_s = 2.0, 3.005
    readings, shown = [], 1000.0
    for k in range(1, 40):
        shown += PERIOD_S * (LOAD_W if start_s < k * PERIOD_S < end_s else IDLE_W)
        readings += [Reading(t, t, shown) for t in (k * PERIOD_S, k * PERIOD_S + 0.098)]
    counter = CounterWindow(readings, period_s=PERIOD_S, max_power_w=1400.0)
    estimate = counter.estimates(start_s, end_s, guard_s=0.4)[0]
    truth_j = LOAD_W * (end_s - start_s) + (650.0 - LOAD_W) * prefill_s
    without = with_unseen(estimate, unseen(counter, start_s, end_s), beats=False)
    wide = with_unseen(estimate, unseen(counter, start_s, end_s, peak_w=700.0), beats=False)
    missed_j = truth_j - estimate.energy_j
    assert missed_j > (without.uncertainty_j or 0.0), "otherwise this tests nothing"
    assert missed_j <= min(wide.bound_j, wide.uncertainty_j or 0.0)
    known = unseen(counter, start_s, end_s, peak_w=700.0, burst_s=prefill_s)
    narrower = with_unseen(estimate, known, beats=False)
    assert missed_j <= narrower.bound_j <= wide.bound_j
    short = unseen(counter, start_s, end_s, peak_w=700.0, burst_s=0.001)
    assert short.possible_j < 0.5 * unseen(counter, start_s, end_s, peak_w=700.0).possible_j


def test_steps_that_beat_leave_no_uncertainty() -> None:
    counter, _ = part_time_counter(0.05, 2.003, 4.05)
    estimate = counter.estimates(2.003, 4.05, guard_s=0.4)[0]
    assert with_unseen(estimate, Unseen(10.0, 7.0), beats=True).uncertainty_j is None


def test_two_falls_are_missed_by_more_than_a_fall_and_a_rise() -> None:
    def missed_j(watts: list[float]) -> float:
        shown, readings = 0.0, []
        for k, each in enumerate(watts):
            readings.append(Reading(0.1 * k, 0.1 * k, shown))
            shown += 0.1 * each
        return unseen(CounterWindow(readings, period_s=PERIOD_S), 0.5, 3.5).likely_j

    fall_and_rise = [400.0] * 15 + [300.0] * 10 + [400.0] * 20
    two_falls = [400.0] * 15 + [300.0] * 10 + [200.0] * 20
    assert missed_j(fall_and_rise) < 0.65 * missed_j(two_falls)


def span(start_s: float, end_s: float) -> MeasuredSpan:
    return MeasuredSpan(start_s, end_s, 0.0, 1, 0.4, after_s=0.4)


@pytest.mark.parametrize("place", [0.15, 0.3, 0.5, 0.7, 0.85])
def test_a_counter_that_sees_everything_shows_when_the_work_ended(place: float) -> None:
    end_s = 4.0 + place * PERIOD_S
    counter, _ = part_time_counter(0.002, 2.0, end_s, seen_s=PERIOD_S)
    assert saw_the_end(counter, span(2.0, end_s))
    part_time, _ = part_time_counter(0.002, 2.0, end_s)
    assert not saw_the_end(part_time, span(2.0, end_s))


def test_an_end_next_to_an_update_shows_nothing() -> None:
    for end_s in (4.002, 4.098):
        counter, _ = part_time_counter(0.002, 2.0, end_s, seen_s=PERIOD_S)
        assert not saw_the_end(counter, span(2.0, end_s))


def test_without_idle_time_after_the_work_nothing_is_seen() -> None:
    counter, _ = part_time_counter(0.002, 2.0, 4.05, seen_s=PERIOD_S)
    assert not saw_the_end(counter, MeasuredSpan(2.0, 4.05, 0.0, 1, 0.0))


def test_what_was_not_seen_widens_the_bound_also_if_the_end_was_seen() -> None:
    counter, _ = part_time_counter(0.002, 2.0, 4.05, seen_s=PERIOD_S)
    estimate = counter.estimates(2.0, 4.05, guard_s=0.4)[0]
    seen = with_unseen(estimate, Unseen(10.0, 7.0), beats=False, is_likely=False)
    assert seen.uncertainty_j == estimate.uncertainty_j
    assert seen.bound_j == pytest.approx(estimate.bound_j + 10.0)
