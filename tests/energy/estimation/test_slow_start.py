"""The beginning of the work shows whether a meter or a board is slow."""

from __future__ import annotations

import pytest
from energy.estimation.one_load import (
    IDLE_W,
    LOAD_W,
    TRUTH_J,
    Curve,
    energy,
    error_j,
    filtered,
    filtered_w,
    metered,
    power,
    tail,
)

from llem_energy._estimation.slow_start import FirstMoment


def late(curve: Curve, late_s: float) -> Curve:
    return lambda t_s: curve(t_s - late_s)


@pytest.mark.parametrize(
    ("counted", "drawn"),
    [
        (filtered(0.3), filtered_w(0.3)),
        (filtered(1.0), filtered_w(1.0)),
        (late(energy, 0.15), late(power, 0.15)),
        (late(energy, 0.25), late(power, 0.25)),
        (late(tail(0.1)[0], 0.1), late(tail(0.1)[1], 0.1)),
    ],
)
def test_a_sensor_that_is_as_slow_as_the_counter_does_not_excuse_it(
    counted: Curve, drawn: Curve
) -> None:
    device = metered(counted, drawn, after_s=3.0)
    best = device.estimates[0]
    assert device.guard is not None
    assert device.guard.check in {"unclear", "lags"}
    assert device.reasons
    assert best.energy_j < 0.99 * TRUTH_J, "the first updates after the end lack this much"
    assert error_j(device) <= (best.bound_j or 0.0)
    assert error_j(device) <= (best.uncertainty_j or 0.0)


@pytest.mark.parametrize("later_s", [0.0, 0.01, 0.02])
@pytest.mark.parametrize("tau_s", [0.1, 0.15, 0.3])
def test_a_slow_board_begins_at_once_or_a_moment_later(tau_s: float, later_s: float) -> None:
    """At 0, the work begins 13 ms after the update before which the window opens."""
    device = metered(*(late(curve, later_s) for curve in tail(tau_s)), after_s=3.0)
    assert device.guard is not None
    assert device.guard.check == "agrees"
    assert device.reasons == ()


@pytest.mark.parametrize("tau_s", [0.15, 0.3, 0.5])
def test_of_a_slow_board_the_bound_contains_what_the_beginning_lacks(tau_s: float) -> None:
    """The counter is late by 30 ms, too little to see it beside the slow fall of the power."""
    counted, drawn = tail(tau_s)
    device = metered(late(counted, 0.03), drawn, after_s=3.0)
    assert device.guard is not None
    assert device.guard.check == "agrees"
    assert device.lag_j >= 0.03 * (LOAD_W - IDLE_W)
    on_time = metered(counted, drawn, after_s=3.0)
    assert on_time.lag_j < 0.02 * (LOAD_W - IDLE_W)


def test_a_counter_that_shows_nothing_of_the_first_moment_rose_slowly() -> None:
    ripple = FirstMoment((0.2, 0.1, 0.3, 0.0), 0.1)
    assert ripple.rose_slowly(load_w=300.0, lag_s=0.9)
    assert not FirstMoment((300.0, 310.0, 295.0, 300.0), 0.1).rose_slowly(300.0, 0.9)
    assert not FirstMoment((0.2,), 0.1).rose_slowly(300.0, 0.9), "too short to tell"


def near_idle(curve: Curve) -> Curve:
    """Return the same load with a hundredth of the height above idle: 3.3 W."""
    return lambda t_s: IDLE_W * t_s + 0.01 * (curve(t_s) - IDLE_W * t_s)


@pytest.mark.parametrize("tau_s", [0.3, 1.0])
def test_of_a_load_near_idle_power_the_bound_contains_what_no_sensor_can_tell(tau_s: float) -> None:
    def drawn(t_s: float) -> float:
        return IDLE_W + 0.01 * (power(t_s) - IDLE_W)

    device = metered(near_idle(filtered(tau_s)), drawn, after_s=0.35)
    truth_j = TRUTH_J - 0.99 * (LOAD_W - IDLE_W) / LOAD_W * TRUTH_J
    best = device.estimates[0]
    assert device.reasons == (), "it is too small to tell"
    wrong_j = truth_j - best.energy_j
    assert wrong_j > 0.25 * tau_s * 3.3
    assert wrong_j <= (best.uncertainty_j or 0.0)
    checked = metered(near_idle(filtered(tau_s)), drawn, after_s=0.35, is_checked=True)
    assert (checked.estimates[0].bound_j or 0.0) < 0.8 * (best.bound_j or 0.0)
    assert device.lag_j > wrong_j
    exact = metered(near_idle(energy), drawn, after_s=0.35).estimates[0]
    assert (exact.uncertainty_j or 0.0) < 0.2 * (best.uncertainty_j or 0.0)
    assert checked.lag_j == 0
