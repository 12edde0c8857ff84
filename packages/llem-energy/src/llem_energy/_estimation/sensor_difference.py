"""Where counter and instant power differ by more than the errors of both, one of them is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llem_energy._estimation.edge_estimators import WindowEstimate
from llem_energy._estimation.power_integral import Integral
from llem_energy._metering.span import Span

COMPARABLE_S = 10.0
"""In longer windows counter and power should agree to 5 % for any load."""
_DISAGREEMENT = 0.05


def disagreement(
    counted: WindowEstimate, integral: Integral, span: Span, sensor_j: float
) -> str | None:
    """Return by how much counter and power differ; None if their errors explain it.

    Args:
        counted: by the counter.
        integral: of power.
        span: the window.
        sensor_j: by which the integral is wrong if steps of the model keep pace with the sensor.
    """
    difference_j = abs(integral.energy_j - counted.energy_j)
    tolerance_j = _DISAGREEMENT * max(counted.energy_j, integral.energy_j) + sensor_j
    if span.end_s - span.start_s < COMPARABLE_S:
        tolerance_j = max(tolerance_j, counted.bound_j + integral.sampling_j)
    if difference_j <= tolerance_j:
        return None
    return f"counter and integrated power disagree by {_share(counted, integral)}"


def _share(counted: WindowEstimate, integral: Integral) -> str:
    if counted.energy_j <= 0:
        return f"{integral.energy_j - counted.energy_j:+.3g} J"
    return f"{integral.energy_j / counted.energy_j - 1:+.1%}"


def with_difference(
    estimates: Sequence[WindowEstimate], integral: Integral
) -> list[WindowEstimate]:
    """Return estimates of a doubtful counter that contain what instant power shows.

    Args:
        estimates: by the counter.
        integral: of power.
    """
    return [_containing(each, integral) for each in estimates]


def _containing(estimate: WindowEstimate, integral: Integral) -> WindowEstimate:
    difference_j = abs(integral.energy_j - estimate.energy_j)
    uncertainty_j = estimate.uncertainty_j
    if uncertainty_j is not None and difference_j > uncertainty_j + integral.sampling_j:
        uncertainty_j += difference_j + integral.sampling_j
    return msgspec.structs.replace(
        estimate,
        uncertainty_j=uncertainty_j,
        low_j=min(estimate.low_j, max(0.0, integral.energy_j - integral.sampling_j)),
        high_j=max(estimate.high_j, integral.energy_j + integral.sampling_j),
    )
