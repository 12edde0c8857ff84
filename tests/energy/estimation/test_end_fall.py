"""Power that falls after the end of a window is followed back to the end (CM-11..16)."""

from __future__ import annotations

import math

import pytest
from energy.estimation.one_load import END_S, energy, metered, power

from llem_energy._estimation.end_fall import fall_j, is_confirmed

LENGTH_S = 0.1


def exponential_j(tau_s: float, from_s: float, to_s: float) -> float:
    """Return the energy of 30 W that fall from 0 s on."""
    return 30 * tau_s * (math.exp(-from_s / tau_s) - math.exp(-to_s / tau_s))


@pytest.mark.parametrize("tau_s", [0.05, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("outside_s", [0.01, 0.05, 0.1])
def test_an_exponential_fall_is_found(tau_s: float, outside_s: float) -> None:
    starts_s = [outside_s + LENGTH_S * k for k in range(3)]
    powers = [70 + exponential_j(tau_s, t, t + LENGTH_S) / LENGTH_S for t in starts_s]
    above_j = exponential_j(tau_s, 0, outside_s) - (powers[0] - 70) * outside_s
    assert fall_j(powers, outside_s, LENGTH_S) == pytest.approx(above_j, rel=1e-6)


def test_a_fall_in_a_line_is_found() -> None:
    # 3 W less in each interval: 30 W more in a whole one before them would be 3 W more.
    assert fall_j([90.0, 87.0, 84.0], LENGTH_S, LENGTH_S) == pytest.approx(0.3, rel=0.05)


def test_power_that_does_not_fall_adds_nothing() -> None:
    assert fall_j([70.0, 70.0, 70.0], 0.05, LENGTH_S) == 0.0
    assert fall_j([70.0, 75.0, 70.0], 0.05, LENGTH_S) == 0.0


@pytest.mark.parametrize("tau_s", [0.05, 0.1, 0.3, 1.0])
def test_an_exponential_fall_is_confirmed_by_the_fourth_interval(tau_s: float) -> None:
    powers = [70 + 30 * math.exp(-LENGTH_S * k / tau_s) for k in range(4)]
    assert is_confirmed(powers, 0.01)
    assert not is_confirmed([*powers[:3], powers[2]], 0.01)


@pytest.mark.parametrize(
    "powers",
    [
        pytest.param([80.0, 70.0, 70.0, 70.0], id="step in the first interval"),
        pytest.param([100.0, 75.0, 70.0, 70.0], id="step in the second interval"),
        pytest.param([70.0, 70.0, 70.0, 70.0], id="no fall"),
        pytest.param([100.0, 80.0, 70.0, 69.0], id="the third fall is too small"),
    ],
)
def test_a_step_of_power_is_not_followed_back(powers: list[float]) -> None:
    assert not is_confirmed(powers, 0.1)


@pytest.mark.parametrize("late_s", [0.01 * k for k in range(10)])
@pytest.mark.parametrize(("watts", "lasts_s"), [(30.0, 0.15), (50.0, 0.12), (20.0, 0.2)])
def test_a_plateau_after_the_work_is_in_the_uncertainty(
    watts: float, lasts_s: float, late_s: float
) -> None:
    """It ends in a step between two updates, which is no fall to follow back."""

    def counted(t_s: float) -> float:
        return energy(t_s + late_s) + watts * min(max(t_s + late_s - END_S, 0.0), lasts_s)

    def drawn(t_s: float) -> float:
        return power(t_s + late_s) + (watts if END_S <= t_s + late_s < END_S + lasts_s else 0.0)

    device = metered(counted, drawn, is_checked=True, shift_s=late_s)
    assert device.energy_j is not None
    # Readings are 1 ms apart, and the counter moves at one of them: half of that is 0.2 J.
    error_j = abs(device.energy_j - 400 * 2.015) - 0.2
    assert error_j <= (device.estimates[0].uncertainty_j or 0.0) < 15.0


@pytest.mark.parametrize("late_s", [0.0, 0.02, 0.04, 0.06])
def test_a_short_tail_after_the_work_is_in_the_uncertainty_of_a_checked_counter(
    late_s: float,
) -> None:
    """50 W for 50 ms, which can be over before the next update."""

    def counted(t_s: float) -> float:
        return energy(t_s + late_s) + 50 * min(max(t_s + late_s - END_S, 0.0), 0.05)

    def drawn(t_s: float) -> float:
        return power(t_s + late_s) + (50.0 if END_S <= t_s + late_s < END_S + 0.05 else 0.0)

    device = metered(counted, drawn, is_checked=True, shift_s=late_s)
    assert device.reasons == ()
    assert device.energy_j is not None
    # Readings are 1 ms apart, and the counter moves at one of them: half of that is 0.2 J.
    error_j = abs(device.energy_j - 400 * 2.015) - 0.2
    assert error_j <= (device.estimates[0].uncertainty_j or 0.0) < 6.0


@pytest.mark.parametrize("late_s", [0.0, 0.02, 0.04, 0.06])
def test_a_fall_from_30_w_is_in_the_uncertainty_of_a_checked_counter(late_s: float) -> None:
    def counted(t_s: float) -> float:
        return energy(t_s + late_s) + exponential_j(0.1, 0, max(0.0, t_s + late_s - END_S))

    device = metered(counted, lambda t: power(t + late_s), is_checked=True, shift_s=late_s)
    assert device.energy_j is not None
    error_j = abs(device.energy_j - 400 * 2.015)
    assert error_j <= (device.estimates[0].uncertainty_j or 0.0) < 6.0
