"""A delay so small that a check calls the counter exact is in the bound and in the uncertainty (CM-11..16)."""

from __future__ import annotations

import pytest
from energy.estimation.one_load import LOAD_W, TRUTH_J, energy, filtered, metered, power

from llem_energy._estimation.counter import Reading, enclose, find_updates
from llem_energy._estimation.device_energy import DeviceEnergy

LATE_S = 0.024  # of a period of 0.1 s
FOUND_S = LATE_S + 0.005
PLACES = [0.01 * k for k in range(10)]
READING_J = 0.001 * LOAD_W  # readings are 1 ms apart, and the counter moves at one of them


def late(shift_s: float, late_s: float) -> DeviceEnergy:
    return metered(
        lambda t_s: energy(t_s + shift_s - LATE_S), lambda t_s: power(t_s + shift_s),
        is_checked=True, shift_s=shift_s, late_s=late_s,
    )  # fmt: skip


def behind_a_filter(shift_s: float, late_s: float) -> DeviceEnergy:
    curve = filtered(LATE_S)
    return metered(
        lambda t_s: curve(t_s + shift_s), lambda t_s: power(t_s + shift_s),
        is_checked=True, shift_s=shift_s, late_s=late_s,
    )  # fmt: skip


def error_j(device: DeviceEnergy) -> float:
    assert device.energy_j is not None
    return abs(device.energy_j - TRUTH_J)


def bound_j(device: DeviceEnergy) -> float:
    assert device.estimates[0].bound_j is not None
    return device.estimates[0].bound_j


@pytest.mark.parametrize("shift_s", PLACES)
def test_a_small_delay_is_in_bound_and_uncertainty(shift_s: float) -> None:
    device = late(shift_s, FOUND_S)
    assert error_j(device) <= bound_j(device)
    assert error_j(device) <= (device.estimates[0].uncertainty_j or 0.0) + READING_J


@pytest.mark.parametrize("shift_s", PLACES)
def test_a_small_filter_is_in_bound_and_uncertainty(shift_s: float) -> None:
    device = behind_a_filter(shift_s, 3 * LATE_S + 0.005)
    assert error_j(device) <= bound_j(device)
    assert error_j(device) <= (device.estimates[0].uncertainty_j or 0.0) + READING_J


@pytest.mark.parametrize("shift_s", [0.005 * k for k in range(20)])
def test_a_small_delay_of_a_counter_that_was_not_checked_is_in_the_bound_or_flagged(
    shift_s: float,
) -> None:
    device = metered(
        lambda t_s: energy(t_s + shift_s - LATE_S),
        lambda t_s: power(t_s + shift_s),
        shift_s=shift_s,
    )
    assert device.reasons or error_j(device) <= bound_j(device)


def test_an_update_that_may_be_late_is_no_upper_bound_of_what_was_used_before_it() -> None:
    readings = [Reading(0.01 * k, 0.01 * k, 10.0 * (k // 10)) for k in range(40)]
    updates = find_updates(readings)
    exact, late = (enclose(readings, updates, 0.085, late_s=late_s) for late_s in (0.0, 0.02))
    assert exact is not None and late is not None
    assert (exact.low_j, exact.high_j) == (0.0, 10.0)
    assert (late.low_j, late.high_j) == (0.0, 20.0)
