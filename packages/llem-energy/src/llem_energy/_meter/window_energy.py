"""The energy of one window of a meter, with its bound and its quality."""

from __future__ import annotations

import msgspec

from llem_energy._estimation.figures import DeviceWindow, Quality, Status
from llem_energy._sources.protocol import Kind


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
