"""Estimates of a doubtful counter contain what instant power shows."""

from __future__ import annotations

import pytest

from llem_energy._estimation.edge_estimators import WindowEstimate
from llem_energy._estimation.power_integral import Integral
from llem_energy._estimation.sensor_difference import disagreement, with_difference
from llem_energy._metering.span import WindowSpan


def estimate(energy_j: float = 100.0) -> WindowEstimate:
    return WindowEstimate("quiet edge", energy_j, 2.0, energy_j - 5, energy_j + 5, 0.0, 0.5)


def test_bound_and_uncertainty_contain_the_integral_and_its_error() -> None:
    [wide] = with_difference([estimate()], Integral(150.0, 4.0))
    assert wide.bound_j == pytest.approx(54.0)
    assert wide.uncertainty_j == pytest.approx(2.0 + 50.0 + 4.0)


def test_a_difference_that_the_errors_explain_widens_nothing() -> None:
    assert with_difference([estimate()], Integral(101.0, 2.0)) == [estimate()]


@pytest.mark.parametrize(("length_s", "differs"), [(5.0, False), (20.0, True)])
def test_in_long_windows_counter_and_power_agree_to_5_percent(
    length_s: float, differs: bool
) -> None:
    span = WindowSpan(0.0, length_s)
    found = disagreement(estimate(), Integral(108.0, 4.0), span, 0.0)
    assert (found is not None) is differs
    assert disagreement(estimate(), Integral(108.0, 4.0), span, 50.0) is None
