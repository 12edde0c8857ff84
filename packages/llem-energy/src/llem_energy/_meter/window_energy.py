"""The energy of one window of a meter, with its bound and its quality."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from llem_energy._estimation.figures import DeviceWindow, Quality, Status
from llem_energy._estimation.window_energy import energy_figures
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.gain_store import GainCalibration
from llem_energy._metering.span import WindowSpan
from llem_energy._sources.protocol import EnergySource, Kind, Sample

AROUND_S = 3.0
"""Readings before and after a window that its figures use."""
_LONGER = "meter a longer window"


class WindowEnergy(msgspec.Struct, frozen=True, kw_only=True):
    """The energy of all metered devices in a window."""

    total_j: float | None
    """Joules of all devices of `source`; None if it is missing for one of them."""
    bound_j: float | None
    """Maximum error of the total, apart from the gain error of the sensors, if the counter is exact at
    its updates. None if only power could be integrated."""
    uncertainty_j: float | None
    """Error of the total if the load is what the estimator assumes; at most `bound_j`."""
    quality: Quality
    """`ok`, `flagged` or `missing`, with the reasons."""
    devices: tuple[DeviceWindow, ...] = ()
    """Each device, with its own energy, bound, power and temperature."""
    method: str | None = None
    """How the total was estimated."""
    counter_j: float | None = None
    """The total from energy counters only."""
    integrated_j: float | None = None
    """The total from instant power only, as a cross-check."""
    sampling_j: float | None = None
    """The part of the bound for a counter, or an integral of power, that may miss part of the time."""
    gain_share: float | None = None
    """Gain error of the sensors as a share of the total; None if it is not known."""
    source: str | None = None
    """What was read, such as `nvml`."""
    kind: Kind | None = None
    """What `source` meters: `gpu`, `cpu`, or the whole `board`."""
    host: WindowEnergy | None = None
    """The processor, if it was metered beside GPUs; it is not part of the total."""

    @property
    def status(self) -> Status:
        """`ok`, `flagged` or `missing`."""
        return self.quality.status

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the total is flagged or missing, one sentence each; () if it is ok."""
        return self.quality.reasons


def missing(*reasons: str) -> WindowEnergy:
    """Return the energy of a window that was not metered, with the reasons."""
    return WindowEnergy(
        total_j=None, bound_j=None, uncertainty_j=None, quality=Quality("missing", reasons)
    )


def window_energy(
    source: EnergySource,
    samples: Sequence[Sample],
    span: WindowSpan,
    calibration: Sequence[Calibration] = (),
    *,
    gains: Sequence[GainCalibration] = (),
    seen: Collection[str] = (),
    exact: Collection[str] = (),
    reasons: Sequence[str] = (),
    step_s: float | None = None,
) -> WindowEnergy:
    """Return the energy of a window from samples, also from ones that were stored.

    Args:
        source: what was read.
        samples: of all its devices in time order, from three seconds before the window to after it.
        span: the window.
        calibration: of the devices, if known.
        gains: of sensors that were calibrated with an external meter, of any device.
        seen: devices whose counter was found to observe them all the time.
        exact: devices whose counter was found to be exact, so that it does not lag.
        reasons: why the energy is flagged, besides what the samples show.
        step_s: median time between two tokens in the window, if there are any.
    """
    advice = _LONGER if span.guard_s else f"{_LONGER}, or use the mode exact"
    figures = energy_figures(
        source, samples, span, calibration, gains, seen=seen, exact=exact, advice=advice,
        step_s=step_s,
    )  # fmt: skip
    return WindowEnergy(
        total_j=figures.total_j,
        bound_j=figures.bound_j,
        uncertainty_j=figures.uncertainty_j,
        quality=figures.total.with_reasons(reasons),
        devices=figures.devices,
        method=figures.method,
        counter_j=figures.counter_j,
        integrated_j=figures.integrated_j,
        gain_share=figures.budget.gain_share if figures.budget else None,
        sampling_j=figures.budget.sampling_j if figures.budget else None,
        source=source.name,
        kind=source.kind,
    )
