"""The GPUs of the machine that a run did not use, while it ran."""

from __future__ import annotations

import msgspec


class NeighbourGpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One GPU beside those of a run. None: not reported."""

    uuid: str
    """UUID of the GPU."""
    power_start_w: float | None
    """Its power when the run began, before it used a device."""
    power_before_window_w: float | None
    """Its power just before the measured window."""
    power_end_w: float | None
    """Its power after the last window."""
    n_processes: int | None
    """Most processes that computed on it at these three instants."""

    @property
    def powers_w(self) -> tuple[float, ...]:
        """Return the powers that are known, in order of time."""
        powers_w = (self.power_start_w, self.power_before_window_w, self.power_end_w)
        return tuple(power_w for power_w in powers_w if power_w is not None)
