"""The result of one measurement, as it is written to `result.json`.

Names contain units: `_s _j _w _c _bytes`, counts `n_`. A figure that was not measured is None,
never 0, and its entry in `figures` says why. Each format has the fields of the earlier formats and
more. Files of formats 1 and 2 can still be read: the fields that they lack get their defaults.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import msgspec

from llem_energy._errors import MeasurementError
from llem_energy._estimation.figures import DeviceWindow, ErrorBudget, Quality, Status
from llem_energy._machine.snapshot import EnvironmentSnapshot
from llem_energy._metering.calibration import Calibration
from llem_energy._model_info.flops import Flops
from llem_energy._model_info.memory_estimate import MemoryEstimate
from llem_energy._result.measurement_figures import Baseline, PhaseResult, Sampling, WarmUpReport
from llem_energy._sources.protocol import Kind

RESULT_SCHEMA_VERSION = 3
_READABLE = (1, 2, 3)


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A distribution of durations in seconds."""

    n: int
    mean_s: float
    p50_s: float
    p90_s: float
    p99_s: float


class Span(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The measured window on the clock of `timeseries.parquet`, in seconds."""

    start_s: float
    end_s: float


class ExperimentResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about one run of one experiment."""

    schema_version: int = RESULT_SCHEMA_VERSION
    measurement_config_hash: str
    config: dict[str, Any]
    """The experiment as configured, with defaults."""
    effective_config: dict[str, Any]
    """What the backend really used, as it reports it."""
    started_at: str
    """UTC, ISO 8601."""
    ended_at: str

    n_prompts: int
    """Prompts of one pass over the data set."""
    n_repeats: int
    """Passes inside the window."""
    n_truncated_prompts: int
    """Prompts of one pass that were cut to `max_input_tokens`."""
    prompts_sha256: str
    """Content and order of the prompts of one pass."""
    input_tokens: int
    """Total of the window, without padding."""
    output_tokens: int
    """Total of the window, without padding and without tokens after the end token."""

    window_s: float
    tokens_per_second: float
    """Output tokens per second of window."""
    time_to_first_token: Latency | None
    """Per batch."""
    inter_token_latency: Latency | None

    energy_status: Status
    """The status of `energy_total_j`; `figures` has the status of every figure."""
    energy_source: str | None
    energy_method: str | None
    """The estimator."""
    energy_total_j: float | None
    """Sum over all metered devices, from start to end of the window."""
    energy_bound_j: float | None
    """Maximum error of `energy_total_j` for any load, apart from the gain error of the sensor."""
    energy_counter_j: float | None
    energy_integrated_j: float | None
    """The integral of instant power, as a cross-check."""
    energy_disagreement: float | None
    """(integrated - counter) / counter."""
    energy_per_device_j: dict[str, float | None]
    baseline_power_w: float | None
    """Idle power with the model loaded, interpolated to the middle of the window."""
    energy_adjusted_j: float | None
    """`energy_total_j` minus the baseline over the window; it can be negative."""
    energy_per_output_token_j: float | None
    energy_per_input_token_j: float | None
    energy_per_prompt_j: float | None
    energy_estimated_j: float | None
    """Modelled, not measured; never part of any other figure."""
    energy_estimate_method: str | None

    peak_memory_bytes: int | None
    weights_memory_bytes: int | None
    memory_method: str
    """How the peak was measured."""
    flops: Flops | None
    devices: tuple[DeviceWindow, ...]

    measurement_methodology: Literal["steady_state", "total"]
    """`steady_state`: after a warm-up; `total`: without one."""
    steady_state_window: Span
    n_warmup: int
    """Repeats of the warm-up, which no figure includes."""
    warmup_excluded_samples: int
    """Samples taken before the window, which no figure includes."""
    warmup_converged: bool | None
    """None if convergence was not checked."""
    n_samples: int
    """Samples inside the window."""
    timeseries_file: str | None
    """In the same folder; None if nothing was sampled."""

    environment_snapshot: EnvironmentSnapshot
    measurement_warnings: tuple[str, ...]
    reproducibility_notes: tuple[str, ...]

    energy_uncertainty_j: float | None = None
    """Narrower than the bound; holds if the assumption of the estimator holds."""
    figures: dict[str, Quality] = {}
    """Quality of every energy figure, by the name of its field."""
    error_budget: ErrorBudget | None = None
    baseline: Baseline | None = None
    warmup: WarmUpReport | None = None
    phases: tuple[PhaseResult, ...] = ()
    """Prefill and decode alone, if `energy.phases` lists them."""
    sampling: Sampling | None = None
    """None if nothing was sampled."""
    rest_memory_bytes: int | None = None
    """The peak minus the weights: cache, activations, and all else that `memory_method` counts."""
    memory_estimate: MemoryEstimate | None = None
    """Estimated from the architecture before loading; None if that is not known."""
    requests_file: str | None = None
    """Tokens and latencies of every request, in the same folder; None if it was not written."""
    energy_source_kind: Kind | None = None
    """Whether `energy_source` meters GPUs, the CPU, or everything on a board or machine."""
    calibration: tuple[Calibration, ...] = ()
    """How the counter of each metered device behaves; the bounds depend on it."""


class _Format(msgspec.Struct):
    """The one field that every format has."""

    schema_version: int


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(ExperimentResult)
_FORMAT_DECODER = msgspec.json.Decoder(_Format)


def encode_result(result: ExperimentResult) -> bytes:
    """Return a result as indented JSON.

    Raises:
        MeasurementError: a figure is NaN or infinite, which JSON cannot express.
    """
    check_finite(result)
    return msgspec.json.format(_ENCODER.encode(result), indent=2) + b"\n"


def read_result(path: str | Path) -> ExperimentResult:
    """Read a `result.json`, checked field by field.

    Raises:
        MeasurementError: the file is missing, damaged or of another format.
    """
    try:
        data = Path(path).read_bytes()
        version = _FORMAT_DECODER.decode(data).schema_version
        if version in _READABLE:
            return _DECODER.decode(data)
    except OSError as error:
        raise MeasurementError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MeasurementError(f"{path}: damaged, or not a result of llem: {error}") from error
    raise MeasurementError(
        f"{path}: expected a result of format {RESULT_SCHEMA_VERSION}, found format {version}"
    )


def check_finite(result: ExperimentResult) -> None:
    """Raise MeasurementError if any number in a result is NaN or infinite."""
    for route, value in _numbers(msgspec.to_builtins(result), ""):
        if not math.isfinite(value):
            raise MeasurementError(f"{route} is {value}; expected a finite number")


def _numbers(data: Any, route: str) -> list[tuple[str, float]]:
    match data:
        case float():
            return [(route.removeprefix("."), data)]
        case dict():
            return [n for key, value in data.items() for n in _numbers(value, f"{route}.{key}")]
        case list() | tuple():
            return [n for i, value in enumerate(data) for n in _numbers(value, f"{route}[{i}]")]
        case _:
            return []
