"""What `llem-cli meter` measured, as plain data, which is also the form of its JSON."""

from __future__ import annotations

from typing import Literal

import msgspec


class MeteredDevice(msgspec.Struct, frozen=True, kw_only=True):
    """One device during a run."""

    device: str
    """GPU UUID, or the name of a counter of the processor."""
    energy_j: float | None
    bound_j: float | None
    """Maximum error of `energy_j`, apart from the gain error of the sensor."""
    power_mean_w: float | None
    """The energy divided by the duration."""
    power_max_w: float | None
    """Of the sampled power; None if the device reports none."""


class MeasuredRun(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a command, or one window of time."""

    exit_code: int
    """128 + N if signal N ended the command."""
    duration_s: float
    cpu_time_s: float | None
    """Of the command and the processes for which it waited; None if it was not started by llem."""
    energy_j: float | None
    """Of all metered devices; None if that of one is missing."""
    bound_j: float | None
    status: Literal["ok", "flagged", "missing"]
    reasons: tuple[str, ...]
    method: str | None
    devices: tuple[MeteredDevice, ...]
    host_energy_j: float | None = None
    """Of the processor beside the GPUs, which is not part of `energy_j`; None if it was not metered."""
    host_bound_j: float | None = None
    host_reasons: tuple[str, ...] = ()
    """Why the energy of the processor is flagged or missing."""
    started_unix_s: float
    """Seconds since 1970 at the start."""


class Mean(msgspec.Struct, frozen=True, kw_only=True):
    """The geometric mean of a figure over the runs, in the unit of the figure."""

    mean: float
    n: int
    """Number of runs."""
    ci95_low: float | None = None
    """None for fewer than three runs, or if a figure is 0."""
    ci95_high: float | None = None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Every run of one command, and their means."""

    command: tuple[str, ...]
    """The program and its arguments; () if none was started."""
    subject: str
    """The command as in a shell, or what was measured instead, such as `process 4711`."""
    tokens: int | None
    """Tokens of one run, as the user states them."""
    runs: tuple[MeasuredRun, ...]
    energy_j: Mean | None
    """None if the energy of a run is missing; `energy_reasons` says why."""
    energy_reasons: tuple[str, ...]
    energy_per_token_j: float | None
    duration_s: Mean | None
    """None if no run succeeded."""


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the first command divided by that of the other."""

    ratio: float
    ci95_low: float
    ci95_high: float
    n_pairs: int
    distinguishable: bool
    """False: the two cannot be told apart."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The first command compared with the other."""

    energy: Ratio | None
    energy_reason: str | None
    """Why there is no ratio of energies."""
    duration: Ratio | None
    duration_reason: str | None


class MeterReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one call measured."""

    schema_version: Literal["1"] = "1"
    source: str | None
    """The name of the energy source; None if nothing was metered."""
    measured: tuple[Measured, ...]
    comparison: Compared | None = None
    stopped_by: str | None = None
    """Why fewer runs were measured than requested."""

    def as_json(self) -> bytes:
        """Return the report as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)
