"""The report of `doctor`: plain data, to be shown or written as JSON."""

from __future__ import annotations

import msgspec

from llem_energy._host.host_load import HostLoad
from llem_energy._metering.board_check import BoardCheck, Exactness
from llem_energy._metering.calibration import Calibration
from llem_energy._sources.protocol import Kind


class DiagnosedSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source of energy readings."""

    name: str
    """As in `energy.sources`."""
    available: bool
    """Whether it can be read here."""
    reason: str | None
    """Why it is not available."""
    kind: Kind | None = None
    """What it meters; None if it is not available, as below."""
    driver: str | None = None
    binding: str | None = None
    """Versions of what is below the source, if it reports any."""
    calibration: tuple[Calibration, ...] = ()
    """Of each device that it meters."""


class DiagnosedGpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One GPU: how well it can be measured, and what would disturb it. None: not reported."""

    index: int
    """The driver's number."""
    uuid: str
    """Its UUID, the same everywhere."""
    name: str
    """Name of the product."""
    refusal: str | None
    """Why it cannot be metered at all; None if it can."""
    counter_problem: str | None
    """Why its energy counter cannot be read; None if it can."""
    calibration: Calibration | None
    """None if it cannot be metered."""
    bound_10s_share: float | None
    """Bound of the energy of 10 s of steady load, as a share of it: half of all windows."""
    bound_10s_p95_share: float | None
    """The same for 95 % of all windows."""
    window_1_percent_s: float | None
    """Shortest window with a bound of 1 %: half of all windows."""
    window_1_percent_p95_s: float | None
    """The same for 95 % of all windows."""
    supported_fields: tuple[int, ...]
    """Of NVML's 74 and 75 (time throttled), 83 and 191 (energy), 185 and 186 (power)."""
    module_power: bool
    """Whether the instant power of the whole module can be read besides that of the GPU."""
    mig: bool | None
    """Whether it is divided by MIG."""
    virtualization: str | None
    """`none` on bare metal; else how a hypervisor shares the GPU."""
    persistence_mode: bool | None
    """Whether the driver stays loaded while no program uses it."""
    other_pids: tuple[int, ...] | None
    """Processes that use it, without this one."""
    power_limit_w: float | None
    """The limit now, in watts."""
    power_limit_default_w: float | None
    """The limit after a start of the machine, in watts."""
    temperature_c: float | None
    """Temperature in °C, just now."""
    sm_clock_mhz: float | None = None
    """Of the multiprocessors, just now."""
    sm_clock_max_mhz: float | None = None
    """The highest that the board permits."""
    application_sm_clock_mhz: float | None = None
    """Set for applications."""
    clocks_locked: bool | None = None
    """Whether a setting limits the clocks; the driver can show a lock, but never exclude one."""
    clocks_locked_reason: str | None = None
    """What shows the lock, or why it is unknown."""
    counter_exactness: Exactness | None = None
    """Outcome of `llem-cli doctor --check-gpu` with the present driver; None if it cannot be metered."""
    board_check: BoardCheck | None = None
    """All that the check found."""


class DiagnosedDomain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One RAPL domain: a processor package, or its memory."""

    name: str
    """Such as `package-0` or `package-0-dram`."""
    file: str
    """Its counter."""
    readable: bool
    """Whether this user may read it."""
    permission_command: str | None
    """The command that makes it readable for this user; None if it is readable."""
    calibration: Calibration | None
    """None if it is not readable."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What this machine can measure and how well."""

    measurable: bool
    """Whether at least one source of energy can be read."""
    sources: tuple[DiagnosedSource, ...]
    """All that installed packages provide."""
    gpus: tuple[DiagnosedGpu, ...]
    """Those that respond."""
    silent_gpus: tuple[str, ...]
    """The error of each GPU that the driver counts but that does not respond."""
    domains: tuple[DiagnosedDomain, ...]
    """RAPL domains of this machine."""
    versions: dict[str, str | None]
    """Of drivers, libraries and llem itself; None: not installed."""
    problems: tuple[str, ...]
    """Each ends with what to do next."""
    load: HostLoad | None = None
    """Other load just now; None if the operating system does not report it."""
