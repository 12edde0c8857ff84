"""What an energy source is: the protocol, its samples, and what it reports about a machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, get_args

import msgspec

from llem_energy._errors import MeasurementError
from llem_energy._sources.gpu_snapshot import GpuSnapshot

Kind = Literal["gpu", "cpu", "board"]
"""What a source meters: GPU boards, the processor and its memory, or everything on a board or
machine, GPUs included."""
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_SOURCES = ("nvml", "amd", "rapl")
"""Ours in order of preference, for a meter whose user names none."""


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One reading of one device. What the device does not report is None."""

    device: str
    """GPU UUID, or the name of a RAPL domain."""
    t_s: float
    """Middle of the call on the monotonic clock of `time.perf_counter`."""
    read_duration_s: float
    """Duration of the call; the reading was taken somewhere inside it."""
    driver_time_s: float | None = None
    """Unix time that the driver gives its reading; the two clocks are not the same."""
    energy_j: float | None = None
    """Energy counter, from an unknown zero."""
    power_w: float | None = None
    """Instant power where the driver has it."""
    power_average_w: float | None = None
    """Averaged by the driver over about a second on recent GPUs."""
    throttled_power_s: float | None = None
    """Time throttled by the power limit, from an unknown zero."""
    throttled_thermal_s: float | None = None
    """Time throttled because of the temperature, from an unknown zero."""
    temperature_c: float | None = None
    """Temperature of the device."""
    memory_temperature_c: float | None = None
    """Temperature of its memory."""
    sm_clock_mhz: float | None = None
    """Clock of the multiprocessors."""
    memory_clock_mhz: float | None = None
    """Clock of the memory."""
    utilisation: float | None = None
    """0 to 1, as the driver averages it."""
    memory_used_bytes: int | None = None
    """Used memory of the device."""
    throttle_reasons: tuple[str, ...] | None = None
    """Names of `THROTTLE_REASONS`; () if there are none."""
    pids: frozenset[int] | None = None
    """Processes on the device; inside a container these may be ids of the host."""


class SourceVersions(NamedTuple):
    """Versions below a source; a calibration is only reused while both are the same."""

    driver: str | None = None
    """Of the driver; None if there is none, or it reports none."""
    binding: str | None = None
    """Of the library between us and the driver."""


class EnergySource(Protocol):
    """An open meter.

    A package provides one by the entry point group `llem.energy_sources`. The entry point names a
    `SourceType`, usually the class of the source.

    A source may also have `read_counters()`, which returns one sample per device with the energy counter
    only. An end of a window that must not wait then calls it instead of `read`. And `last_error(device)`,
    which returns in words why a device failed when it was read last, or None if it did not.
    """

    @property
    def name(self) -> str:
        """The name of the entry point, as in `energy.sources` of a study file."""

    @property
    def kind(self) -> Kind:
        """What is metered."""

    @property
    def devices(self) -> tuple[str, ...]:
        """A unique name of each metered device; the UUID if it is a GPU."""

    @property
    def gain_share(self) -> float | None:
        """Gain error of the sensor as a share of its reading, from the literature, if known."""

    def versions(self) -> SourceVersions:
        """Return the versions of the driver and the binding."""

    def read(self, *, details: bool = False) -> tuple[Sample, ...]:
        """Return one sample per device, in the order of `devices`.

        Args:
            details: also temperature, clocks, utilisation, memory and processes, which cost more
                calls.

        A device that fails gives a sample without values; this never raises.
        """

    def power_limit_w(self, device: str) -> float | None:
        """Return the power limit of a device in watts, or None if it has none or cannot say."""

    def close(self) -> None:
        """Close the meter; safe to call twice."""


class SourceType(Protocol):
    """Opens a source. It may have `diagnose() -> SourceDiagnosis` too, for `llem-cli doctor`."""

    def __call__(self, gpus: Sequence[int | str]) -> EnergySource:
        """Open the meter.

        Args:
            gpus: NVML indices or UUIDs of the GPUs that the experiment uses. A source of GPUs that
                meters fewer is not used.

        Raises:
            SourceUnavailable: this machine does not have it, or denies access.
        """


class GpuDiagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU as its driver describes it."""

    snapshot: GpuSnapshot
    """Its identity, limits and clocks just now."""
    refusal: str | None
    """Why its energy cannot be metered at all; None if it can."""
    counter_problem: str | None
    """Why its energy counter cannot be read; None if it can."""
    supported_fields: tuple[int, ...]
    """Of NVML's 74 and 75 (time throttled), 83 and 191 (energy), 185 and 186 (power); () for other sources."""
    module_power: bool
    """Whether the power of the whole module can be read besides that of the GPU."""
    other_pids: tuple[int, ...] | None
    """Processes that use it, without this one; None: not reported."""


class CounterDiagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """One counter that is a file."""

    device: str
    """Name of the domain, such as `package-0`."""
    file: str
    """Path of the counter."""
    readable: bool
    """Whether this user may read it."""
    permission_command: str | None
    """Makes the file readable; None if it is."""


class SourceDiagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What a source finds on a machine before anything is measured."""

    reason: str | None = None
    """Why it can meter nothing; None if it can."""
    open_with: tuple[str, ...] = ()
    """The GPUs to open it with; () for a source that meters no GPU."""
    description: str | None = None
    """What is calibrated, for a progress message; None is the source's name."""
    min_watch_s: float = 1.0
    max_watch_s: float = 5.0
    """How long to watch its counters."""
    gpus: tuple[GpuDiagnosis, ...] = ()
    """The GPUs that respond."""
    silent_gpus: tuple[str, ...] = ()
    """The error of every GPU that does not respond."""
    counters: tuple[CounterDiagnosis, ...] = ()
    """The counters that are files."""
    versions: dict[str, str | None] = {}
    """Of drivers and libraries, by name; None: not installed."""
    problems: tuple[str, ...] = ()
    """Each ends with what to do next."""


class SourceUnavailable(MeasurementError):  # noqa: N818  # a state of the machine, not a bug
    """This machine does not have the source, or denies access; the message says why."""
