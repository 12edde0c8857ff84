"""What a look at a machine found: plain data, to be shown or written as JSON."""

from __future__ import annotations

import msgspec

from llem_energy._metering.calibration import Calibration


class DiagnosedSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of meter."""

    name: str
    available: bool
    reason: str | None
    """Why it is not available."""


class DiagnosedGpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One GPU: how well it can be measured, and what would disturb it. None: it does not say."""

    index: int
    uuid: str
    name: str
    refusal: str | None
    """Why it cannot be metered at all; None if it can."""
    counter_problem: str | None
    """Why its energy counter cannot be read, found by calling; None if it can."""
    calibration: Calibration | None
    """None where it is not metered."""
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
    """Instant power of the whole module can be read beside that of the GPU."""
    mig: bool | None
    virtualization: str | None
    persistence_mode: bool | None
    other_pids: tuple[int, ...] | None
    """Processes that use it, this one left out."""
    power_limit_w: float | None
    power_limit_default_w: float | None
    temperature_c: float | None


class DiagnosedDomain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One RAPL domain: a processor package, or its memory."""

    name: str
    file: str
    """Its counter."""
    readable: bool
    permission_command: str | None
    """What would let this user read it; None if it is readable."""
    calibration: Calibration | None
    """None where it is not readable."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What this machine can measure and how well."""

    measurable: bool
    """At least one source of energy can be read."""
    sources: tuple[DiagnosedSource, ...]
    gpus: tuple[DiagnosedGpu, ...]
    silent_gpus: tuple[str, ...]
    """GPUs that the driver counts but which do not answer, each with its error."""
    domains: tuple[DiagnosedDomain, ...]
    versions: dict[str, str | None]
    """Of driver, libraries and llem itself; None: not installed."""
    problems: tuple[str, ...]
    """Each with its next step; empty if nothing is in the way."""
