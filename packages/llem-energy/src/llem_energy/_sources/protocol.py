"""What an energy source is: the protocol and its samples."""

from __future__ import annotations

from typing import Protocol

import msgspec

from llem_energy._errors import MeasurementError


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One reading of one device. What the device does not tell is None."""

    device: str
    t_s: float
    """Middle of the call on the monotonic clock of `time.perf_counter`."""
    bracket_s: float
    """Duration of the call; the reading was taken somewhere inside it."""
    driver_time_s: float | None = None
    """Unix time that the driver gives its reading; the two clocks are not the same."""
    energy_j: float | None = None
    power_w: float | None = None
    """Instant power where the driver has it."""
    power_average_w: float | None = None
    """Averaged by the driver over about a second on recent GPUs."""
    throttled_power_s: float | None = None
    throttled_thermal_s: float | None = None
    temperature_c: float | None = None
    memory_temperature_c: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    utilisation: float | None = None
    """0 to 1, as the driver averages it."""
    memory_used_bytes: int | None = None
    throttle_reasons: int | None = None
    """The driver's bit mask."""


class EnergySource(Protocol):
    """What the sampler and the window need from a meter."""

    name: str
    devices: tuple[str, ...]

    def read(self, *, details: bool = False) -> tuple[Sample, ...]:
        """Return one sample per device, in the order of `devices`.

        Args:
            details: also temperature, clocks, utilisation and memory, which cost more calls.

        A device that fails gives a sample with nothing in it; this never raises.
        """

    def power_limit_w(self, device: str) -> float | None:
        """Return the power limit of a device in watts, or None if it has none to tell."""

    def close(self) -> None:
        """Let go of the meter; safe to call twice."""


class SourceUnavailable(MeasurementError):  # noqa: N818  # it is a state of the machine, no bug
    """This machine does not have the source, or does not let us read it; the text says why."""
