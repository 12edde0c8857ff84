"""Reading next to a window continues until the counters show idle power (CM-26..34)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from llem_energy._metering.settling import (
    CounterPower,
    Moved,
    Settled,
    Steady,
    lowest_powers_w,
)
from llem_energy._sources.protocol import Sample

Condition = Callable[[Sequence[Sample]], bool]


def falling(tau_s: float, t_s: float) -> float:
    """Return joules of 70 W and 330 W more that fall with a time constant."""
    return 70.0 * t_s + 330.0 * tau_s * (1 - math.exp(-t_s / tau_s))


def late(late_s: float, t_s: float) -> float:
    """Return joules of 400 W until 0, and of 70 W from then on, as a late counter shows them."""
    return 400.0 * min(0.0, t_s - late_s) + 70.0 * max(0.0, t_s - late_s)


def met_after_s(
    condition: Condition,
    energy: Callable[[float], float],
    *,
    period_s: float = 0.1,
    power_w: float | None = None,
) -> float:
    """Return when a condition is met by a counter that is updated every `period_s`."""
    for k in range(5000):
        t_s = 0.001 * k
        energy_j = energy(period_s * math.floor(t_s / period_s + 1e-9))
        if condition([Sample("GPU", t_s, 0.0, energy_j=energy_j, power_w=power_w)]):
            return t_s
    return math.inf


def test_power_is_that_between_the_newest_updates() -> None:
    power = CounterPower(["GPU"])
    for t_s, energy_j in [(0.0, 0.0), (0.1, 7.0), (0.2, 14.0), (0.3, 54.0), (0.35, 54.0)]:
        power.take([Sample("GPU", t_s, 0.0, energy_j=energy_j)])
    assert power.watts("GPU") == pytest.approx(400)
    assert power.watts("GPU", 1) == pytest.approx(70)
    assert power.watts("GPU", 2) is None


@pytest.mark.parametrize("tau_s", [0.1, 0.3])
def test_a_counter_has_settled_near_the_idle_power_from_before(tau_s: float) -> None:
    settled = Settled(3, ["GPU"], {"GPU": 70.0})
    until_s = met_after_s(settled, lambda t_s: falling(tau_s, t_s))
    near_s = tau_s * math.log(330 / (0.05 * 70))  # then power is within 5 %
    assert near_s < until_s <= near_s + 0.25


def test_without_idle_power_from_before_three_updates_are_enough() -> None:
    assert met_after_s(Settled(3, ["GPU"], {}), lambda t_s: falling(0.3, t_s)) == pytest.approx(0.3)
    assert met_after_s(Moved(["GPU"], 3), lambda t_s: falling(0.3, t_s)) == pytest.approx(0.3)


def test_idle_before_a_window_lasts_until_power_no_longer_falls() -> None:
    assert met_after_s(Steady(["GPU"], 0.32), lambda t_s: 70 * t_s) == pytest.approx(0.32)
    assert 0.5 < met_after_s(Steady(["GPU"], 0.32), lambda t_s: falling(0.3, t_s)) < 1.7


@pytest.mark.parametrize("period_s", [0.02, 0.1])
def test_a_slow_fall_shows_over_several_stretches(period_s: float) -> None:
    """Behind a filter of 1.5 s power falls by 5 % of what is left in 80 ms."""
    steady = Steady(["GPU"], 3.2 * period_s)
    met_after_s(steady, lambda t_s: falling(1.5, t_s), period_s=period_s)
    assert (steady.power.watts("GPU") or 0.0) < 70 + 60


def test_a_counter_has_not_settled_at_the_power_of_other_work_before() -> None:
    """110 W before the window, of which 40 W were what a filter held back of other work."""
    alone = Settled(3, ["GPU"], {"GPU": 110.0})
    near_s = 0.6 * math.log(330 / 45.5)
    assert met_after_s(alone, lambda t_s: falling(0.6, t_s)) == pytest.approx(near_s, abs=0.2)
    known = Settled(3, ["GPU"], {"GPU": 110.0}, {"GPU": 70.0})
    near_s = 0.6 * math.log(330 / 10)
    assert met_after_s(known, lambda t_s: falling(0.6, t_s)) == pytest.approx(near_s, abs=0.2)
    # A board that idles a little warmer than once is no reason to wait.
    warm = Settled(3, ["GPU"], {"GPU": 70.0}, {"GPU": 64.0})
    assert met_after_s(warm, lambda t_s: 70.0 * t_s) == pytest.approx(0.3)


def test_a_counter_that_does_not_move_never_settles_and_is_not_falling() -> None:
    assert met_after_s(Settled(3, ["GPU"], {"GPU": 70.0}), lambda _: 5.0) == math.inf
    assert met_after_s(Steady(["GPU"], 0.32), lambda _: 5.0) == pytest.approx(0.32)


@pytest.mark.parametrize("period_s", [0.005, 0.01, 0.02, 0.03, 0.04, 0.045])
@pytest.mark.parametrize("late_s", [0.02, 0.06, 0.1])
def test_short_periods_are_followed_for_several_stretches(period_s: float, late_s: float) -> None:
    steady = Steady(["GPU"], 3.2 * period_s)
    until_s = met_after_s(steady, lambda t_s: late(late_s, t_s), period_s=period_s)
    assert steady.power.watts("GPU") == pytest.approx(70)
    assert steady.power.watts("GPU", 1) == pytest.approx(70, rel=0.05)
    assert until_s <= late_s + 0.4
    exact = Steady(["GPU"], 3.2 * period_s)
    assert met_after_s(exact, lambda t_s: 70 * t_s, period_s=period_s) <= 0.32


@pytest.mark.parametrize("late_s", [0.35, 0.5, 0.7, 2.0])
def test_the_constant_power_of_earlier_work_is_no_idle_power(late_s: float) -> None:
    def counted(t_s: float) -> float:
        return late(late_s, t_s)

    assert late_s < met_after_s(Steady(["GPU"], 0.32), counted, power_w=70.0) <= late_s + 0.5
    assert late_s < met_after_s(Steady(["GPU"], 0.32), counted, power_w=79.0) <= late_s + 0.5
    # Nothing else is known without a sensor of power.
    assert met_after_s(Steady(["GPU"], 0.32), counted) == pytest.approx(0.32)


@pytest.mark.parametrize("late_s", [0.35, 0.5, 0.7])
@pytest.mark.parametrize("power_w", [None, 400.0])
def test_with_a_known_idle_power_that_of_earlier_work_is_none(
    late_s: float, power_w: float | None
) -> None:
    """The sensor of power is missing, or shows the earlier work for even longer."""
    steady = Steady(["GPU"], 0.32, {"GPU": 70.0})
    until_s = met_after_s(steady, lambda t_s: late(late_s, t_s), power_w=power_w)
    assert late_s < until_s <= late_s + 0.5
    # A board that idles at more power than before costs a second.
    warmer = Steady(["GPU"], 0.32, {"GPU": 70.0})
    assert met_after_s(warmer, lambda t_s: 95 * t_s, power_w=95.0) == pytest.approx(1.2)


def test_the_lowest_power_since_the_first_update_is_that_of_idle() -> None:
    samples = [Sample("GPU", 0.1 * k, 0.0, energy_j=falling(0.3, 0.1 * k)) for k in range(40)]
    samples += [Sample("GPU", 4 + 0.1 * k, 0.0, energy_j=400 + 400 * 0.1 * k) for k in range(9)]
    samples += [Sample("still", 0.1 * k, 0.0, energy_j=5.0) for k in range(10)]
    found = lowest_powers_w(samples, ["GPU", "still", "absent"])
    assert found == {"GPU": pytest.approx(70, abs=0.1)}


def test_a_counter_at_an_idle_power_that_is_known_needs_no_sensor_that_agrees() -> None:
    def idle(t_s: float) -> float:
        return 70.0 * t_s

    assert met_after_s(Steady(["GPU"], 0.32), idle, power_w=35.0) == math.inf
    known = Steady(["GPU"], 0.32, {"GPU": 69.0})
    assert met_after_s(known, idle, power_w=35.0) == pytest.approx(0.32)
