"""A counter that continues to count after the work is found, and its bound still holds (CM-11..16)."""

from __future__ import annotations

import math

import pytest
from energy.estimation.one_load import (
    END_S,
    IDLE_W,
    LOAD_W,
    START_S,
    TRUTH_J,
    energy,
    error_j,
    filtered,
    filtered_w,
    metered,
    power,
    tail,
)


def test_an_exact_counter_agrees_and_its_bound_stays_narrow() -> None:
    device = metered(energy)
    assert device.guard is not None
    assert device.guard.check == "agrees"
    assert device.guard.after_j == pytest.approx(0, abs=0.5)
    assert device.reasons == ()
    assert error_j(device) < 0.5
    methods = [estimate.method for estimate in device.estimates]
    assert methods[0] == "energy counter, quiet edge"
    assert "energy counter, quiet edge at the start, far guard at the end" in methods


def test_a_filtered_counter_lags_and_a_later_update_is_used() -> None:
    device = metered(filtered(0.3))
    assert device.guard is not None
    assert device.guard.check == "lags"
    assert any("it lags" in reason for reason in device.reasons)
    assert "far guard at the end" in device.estimates[0].method
    assert error_j(device) < 0.001 * TRUTH_J
    quiet = next(e for e in device.estimates if e.method == "energy counter, quiet edge")
    assert TRUTH_J - quiet.energy_j > 0.05 * TRUTH_J, "without the far guard it is this wrong"


@pytest.mark.parametrize("tau_s", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("has_power", [True, False])
def test_the_bound_of_a_filtered_counter_contains_the_truth(tau_s: float, has_power: bool) -> None:
    device = metered(filtered(tau_s), has_power=has_power, after_s=3.0)
    assert device.reasons
    for estimate in device.estimates:
        if estimate.bound_j is not None:
            assert abs(estimate.energy_j - TRUTH_J) <= estimate.bound_j, estimate.method
    assert error_j(device) <= (device.estimates[0].uncertainty_j or 0.0)


@pytest.mark.parametrize("tau_s", [0.3, 0.6, 1.0, 2.0])
def test_what_a_filter_still_holds_back_is_added(tau_s: float) -> None:
    device = metered(filtered(tau_s), after_s=3.0)
    assert device.guard is not None and device.energy_j is not None
    assert device.guard.check == "lags"
    assert error_j(device) <= 0.002 * TRUTH_J
    assert device.guard.uncertainty_j is not None
    assert error_j(device) <= device.guard.uncertainty_j


def test_earlier_work_that_a_filter_holds_back_is_not_part_of_the_window() -> None:
    """2.5 s before the window, other work ended; the counter has not settled when it opens."""
    tau_s, earlier_s, idle_s = 1.0, 2.0, 2.5

    def power_before_w(t_s: float) -> float:
        on_s, off_s = (t_s - START_S + idle_s + more for more in (earlier_s, 0.0))
        return (LOAD_W - IDLE_W) * (math.exp(-off_s / tau_s) - math.exp(-on_s / tau_s))

    device = metered(lambda t: filtered(tau_s)(t) - tau_s * power_before_w(t), after_s=3.0)
    assert device.guard is not None
    assert error_j(device) <= 0.005 * TRUTH_J


def test_a_board_whose_power_falls_in_a_line_is_no_filter() -> None:
    def fallen_j(t_s: float) -> float:
        after_s = min(max(0.0, t_s - END_S), 1.0)
        return (LOAD_W - IDLE_W) * (after_s - after_s**2 / 2)

    def drawn(t_s: float) -> float:
        return power(t_s) + (LOAD_W - IDLE_W) * max(0.0, 1 - (t_s - END_S)) * (t_s >= END_S)

    device = metered(lambda t: energy(t) + fallen_j(t), drawn, after_s=1.3)
    assert device.guard is not None
    # All of the fall is above idle power, and none of it is held back by a filter.
    assert device.guard.energy_j == pytest.approx(TRUTH_J + (LOAD_W - IDLE_W) / 2, rel=0.05)


@pytest.mark.parametrize("late_s", [0.05, 0.1, 0.15, 0.25, 0.4])
def test_a_late_counter_is_flagged_and_its_bound_contains_the_truth(late_s: float) -> None:
    device = metered(lambda t_s: energy(t_s - late_s))
    assert device.guard is not None
    if late_s > 0.1 * math.ceil(END_S / 0.1) - END_S:  # the first update lacks some of the work
        assert device.guard.check in {"lags", "unclear"}
        assert device.reasons
    assert error_j(device) <= (device.estimates[0].bound_j or 0.0)


def test_power_that_falls_slowly_is_no_lag() -> None:
    counted, drawn = tail(0.15)
    device = metered(counted, drawn)
    assert device.guard is not None
    assert device.guard.check == "agrees"
    assert device.reasons == ()
    assert device.guard.after_j > 10
    assert device.guard.power_after_j is not None
    assert device.guard.power_after_j > 10


def test_a_board_that_idles_warmer_after_the_work_is_no_lag() -> None:
    def counted(t_s: float) -> float:
        return energy(t_s) + 6.0 * max(0.0, t_s - END_S)

    device = metered(counted, lambda t_s: power(t_s) + (6.0 if t_s >= END_S else 0.0), after_s=3.0)
    assert device.guard is not None
    assert device.guard.check == "agrees"
    assert device.reasons == ()


def test_without_instant_power_an_exact_counter_is_unverified_but_not_flagged() -> None:
    device = metered(energy, has_power=False)
    assert device.guard is not None
    assert device.guard.check == "unverified"
    assert device.guard.power_after_j is None
    assert device.reasons == ()


def test_the_guard_of_a_processor_is_not_examined() -> None:
    assert metered(filtered(0.3), is_gpu=False).guard is None


def test_a_guard_with_two_updates_says_nothing() -> None:
    assert metered(energy, after_s=0.2).guard is None


@pytest.mark.parametrize("shift_s", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
def test_a_checked_counter_has_no_wider_bound_where_other_work_goes_on(shift_s: float) -> None:
    """400 and 100 W in turn, 0.3 s each, also before and after the window."""

    def swing(t_s: float) -> float:
        return 400.0 if (t_s + shift_s) % 0.6 < 0.3 else 100.0

    def swung_j(t_s: float) -> float:
        whole, part_s = divmod(t_s + shift_s, 0.6)
        return 150.0 * whole + 400.0 * min(part_s, 0.3) + 100.0 * max(0.0, part_s - 0.3)

    unchecked, checked = (metered(swung_j, swing, is_checked=each) for each in (False, True))
    truth_j = swung_j(END_S) - swung_j(START_S)
    for device in (unchecked, checked):
        assert device.energy_j is not None
        assert abs(device.energy_j - truth_j) <= (device.estimates[0].bound_j or 0.0)
    assert (checked.estimates[0].bound_j or 0.0) < (unchecked.estimates[0].bound_j or 0.0)
    assert not any("it lags, or the board" in reason for reason in checked.reasons)


def test_a_counter_that_was_found_exact_and_lags_nevertheless_is_flagged() -> None:
    device = metered(filtered(0.3), is_checked=True)
    assert device.guard is not None
    assert device.guard.check == "lags"
    assert device.reasons


@pytest.mark.parametrize("idle_w", [78.0, 82.0, 90.0, 120.0])
def test_a_late_counter_is_found_although_the_board_idles_at_a_higher_power(idle_w: float) -> None:
    def warmer(t_s: float) -> float:
        return energy(t_s) + (idle_w - IDLE_W) * max(0.0, t_s - END_S)

    def drawn(t_s: float) -> float:
        return idle_w if t_s >= END_S else power(t_s)

    late = metered(lambda t_s: warmer(t_s - 0.25), drawn, after_s=3.0)
    assert late.guard is not None
    assert late.guard.check == "lags"
    assert error_j(late) <= min(e.bound_j or 0.0 for e in late.estimates[:1])
    exact = metered(warmer, drawn, after_s=3.0)
    assert exact.guard is not None
    assert exact.guard.check == "agrees"
    assert exact.reasons == ()


@pytest.mark.parametrize("late_s", [0.4, 0.6, 1.0])
def test_a_sensor_that_is_as_late_as_the_counter_does_not_excuse_it(late_s: float) -> None:
    device = metered(lambda t_s: energy(t_s - late_s), lambda t_s: power(t_s - late_s), after_s=3.0)
    assert device.guard is not None
    assert device.guard.check == "unclear"
    assert device.reasons
    assert error_j(device) <= (device.estimates[0].bound_j or 0.0)


def test_power_that_falls_in_a_line_for_a_second_is_no_late_sensor() -> None:
    def left(t_s: float) -> float:
        return max(0.0, 1.0 - (t_s - END_S)) if t_s >= END_S else 0.0

    device = metered(
        lambda t_s: energy(t_s) + (LOAD_W - IDLE_W) * (1 - left(t_s) ** 2) / 2 * (t_s >= END_S),
        lambda t_s: power(t_s) + (LOAD_W - IDLE_W) * left(t_s),
        after_s=1.5,
    )
    assert device.guard is not None
    assert device.guard.check == "agrees"


def work_before(t_s: float) -> float:
    """Return the joules of more power, until 0.2 s before the window."""
    return (LOAD_W - IDLE_W) * min(0.0, t_s - (START_S - 0.2))


def test_a_counter_that_still_shows_earlier_work_when_the_window_opens_is_flagged() -> None:
    device = metered(lambda t_s: energy(t_s - 1.0) + work_before(t_s - 1.0), after_s=3.0)
    assert any("it counted earlier work" in reason for reason in device.reasons)


@pytest.mark.parametrize("seen", [0.3, 0.5, 0.8])
def test_a_sensor_that_sees_less_of_the_board_is_no_earlier_work(seen: float) -> None:
    device = metered(energy, lambda t_s: seen * power(t_s))
    assert not any("earlier work" in reason for reason in device.reasons)
    assert device.guard is not None
    assert device.guard.check == "agrees"


def test_more_power_before_the_window_than_after_it_may_be_that_of_earlier_work() -> None:
    """Both meters have a filter of 1 s, and other work ended 1.5 s before the window."""

    def held_back_w(t_s: float) -> float:
        return 330.0 * math.exp(-max(0.0, t_s - (START_S - 1.5)) / 1.0)

    def counted(t_s: float) -> float:
        return filtered(1.0)(t_s) - held_back_w(t_s)

    def drawn(t_s: float) -> float:
        return filtered_w(1.0)(t_s) + held_back_w(t_s)

    device, checked = (metered(counted, drawn, after_s=3.0, is_checked=c) for c in (False, True))
    assert device.guard is not None and checked.guard is not None
    assert device.guard.was_higher
    assert any("more power before the window than after it" in each for each in device.reasons)
    assert not checked.guard.was_higher


def test_a_board_that_idles_with_less_power_after_the_work_is_not_flagged() -> None:
    def counted(t_s: float) -> float:
        return energy(t_s) - 15.0 * max(0.0, t_s - END_S)

    device = metered(counted, lambda t_s: power(t_s) - (15.0 if t_s >= END_S else 0.0), after_s=3.0)
    assert device.reasons == ()


@pytest.mark.parametrize("change_w", [-10.0, -5.0, 5.0, 10.0])
def test_another_idle_power_after_the_work_does_not_widen_the_bound(change_w: float) -> None:
    def counted(t_s: float) -> float:
        return energy(t_s) + change_w * max(0.0, t_s - END_S)

    def drawn(t_s: float) -> float:
        return power(t_s) + (change_w if t_s >= END_S else 0.0)

    same, changed = (metered(*each, after_s=3.0) for each in ((energy, power), (counted, drawn)))
    assert changed.reasons == ()
    assert error_j(changed) <= (changed.estimates[0].uncertainty_j or 0.0)
    bounds_j = [each.estimates[0].bound_j or 0.0 for each in (same, changed)]
    assert bounds_j[1] < 1.1 * bounds_j[0]


def test_a_counter_that_is_later_than_the_idle_time_before_has_no_uncertainty() -> None:
    device = metered(lambda t_s: energy(t_s - 0.6), after_s=3.0)
    assert device.guard is not None
    assert device.guard.check == "lags"
    assert device.estimates[0].uncertainty_j is None
    soon = metered(lambda t_s: energy(t_s - 0.25), after_s=3.0)
    assert soon.estimates[0].uncertainty_j is not None


def test_a_sensor_that_still_shows_the_work_at_the_end_of_the_guard_is_no_lag() -> None:
    """The guard is shorter than three periods of the sensor, which is updated late in it."""
    device = metered(energy, lambda t_s: power(t_s - 0.25), after_s=0.35)
    assert device.guard is not None
    assert device.guard.check != "lags"


def test_the_bound_of_a_counter_that_lags_contains_what_the_sensor_shows() -> None:
    device = metered(lambda t_s: energy(t_s - 1.0), after_s=0.6)
    assert device.reasons
    assert device.integral is not None
    for estimate in device.estimates:
        if estimate.bound_j is not None:
            assert abs(estimate.energy_j - device.integral.energy_j) <= estimate.bound_j
