"""The result of one measurement, as it is written to `result.json`.

Names contain units: `_s _j _w _c _bytes`, counts `n_`. A figure that was not measured is None,
never 0, and its entry in `figures` says why. Each format has the fields of the earlier formats and
more. Files of formats 1 to 3 can still be read: the fields that they lack get their defaults.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import msgspec

from llem_config.foreign_files import ForeignFileError, read_bytes
from llem_config.text import one_line
from llem_energy._errors import MeasurementError, NewerResultError
from llem_energy._estimation.figures import DeviceWindow, ErrorBudget, Quality, Status
from llem_energy._host.host_load import HostLoad, WindowStops
from llem_energy._machine.snapshot import EnvironmentSnapshot
from llem_energy._metering.board_check import BoardCheck, Exactness
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.gain_store import GainCalibration
from llem_energy._model_info.flops import Flops
from llem_energy._model_info.input_digest import InputDigest
from llem_energy._model_info.memory_estimate import MemoryEstimate
from llem_energy._prompts.prompt import ChatTemplate
from llem_energy._result.answer_quality import AnswerQuality
from llem_energy._result.data_realism import DataRealism
from llem_energy._result.measurement_figures import Baseline, PhaseResult, Sampling, WarmUpReport
from llem_energy._result.neighbours import NeighbourGpu
from llem_energy._result.roofline import DevicePeaks, PhaseRoofline
from llem_energy._result.short_repr import short_repr
from llem_energy._sources.protocol import Kind

RESULT_SCHEMA_VERSION = 4
_READABLE = (1, 2, 3, 4)


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A distribution of durations in seconds."""

    n: int
    """Number of durations."""
    mean_s: float
    """Mean."""
    p50_s: float
    """Median."""
    p90_s: float
    """90th percentile."""
    p99_s: float
    """99th percentile."""


class Span(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The measured window on the clock of `timeseries.parquet`, in seconds."""

    start_s: float
    """Start of the window on the monotonic clock."""
    end_s: float
    """End of the window on the monotonic clock."""


class ExperimentResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about one run of one experiment."""

    schema_version: int = RESULT_SCHEMA_VERSION
    measurement_config_hash: str
    """Of the experiment, without what does not change a measurement."""
    config: dict[str, Any]
    """The experiment as configured, with defaults."""
    effective_config: dict[str, Any]
    """What the backend really used, as it reports it."""
    started_at: str
    """UTC, ISO 8601."""
    ended_at: str
    """UTC, ISO 8601."""

    n_prompts: int
    """Prompts of one pass over the data set."""
    n_repeats: int
    """Passes inside the window."""
    n_truncated_prompts: int
    """Prompts of one pass that were cut to `max_input_tokens`."""
    prompts_sha256: str
    """Content and order of the prompts of one pass, before a chat template."""
    input_tokens: int
    """Total of the window, without padding."""
    output_tokens: int
    """Total of the window, without padding and without tokens after the end token."""

    window_s: float
    """Duration of the measured window."""
    tokens_per_second: float
    """Output tokens per second of window."""
    time_to_first_token: Latency | None
    """Per batch."""
    inter_token_latency: Latency | None
    """Per step of generation."""

    energy_status: Status
    """The status of `energy_total_j`; `figures` has the status of every figure."""
    energy_source: str | None
    """Name of the source of readings, such as `nvml`; None if nothing was metered."""
    energy_method: str | None
    """The estimator."""
    energy_total_j: float | None
    """Sum over all metered devices, from start to end of the window."""
    energy_bound_j: float | None
    """Maximum error of `energy_total_j` for any load, apart from the gain error of the sensor."""
    energy_counter_j: float | None
    """By the energy counters of the devices."""
    energy_integrated_j: float | None
    """The integral of instant power, as a cross-check."""
    energy_disagreement: float | None
    """(integrated - counter) / counter."""
    energy_per_device_j: dict[str, float | None]
    """By GPU UUID or RAPL domain."""
    baseline_power_w: float | None
    """Idle power with the model loaded, interpolated to the middle of the window."""
    energy_adjusted_j: float | None
    """`energy_total_j` minus the baseline over the window; it can be negative."""
    energy_per_output_token_j: float | None
    """`energy_total_j` over the output tokens."""
    energy_per_input_token_j: float | None
    """Per input token that was read: cached tokens do not count, if their number is known."""
    energy_per_prompt_j: float | None
    """`energy_total_j` over the prompts of all passes."""
    energy_estimated_j: float | None
    """Modelled, not measured; never part of any other figure."""
    energy_estimate_method: str | None
    """How `energy_estimated_j` was modelled."""

    peak_memory_bytes: int | None
    """Peak during the window, weights included."""
    weights_memory_bytes: int | None
    """Memory of the weights."""
    memory_method: str
    """How the peak was measured."""
    flops: Flops | None
    """For reference only; part of no other figure."""
    devices: tuple[DeviceWindow, ...]
    """What each metered device used."""

    measurement_methodology: Literal["steady_state", "total"]
    """`steady_state`: after a warm-up; `total`: without one."""
    steady_state_window: Span
    """When the window began and ended."""
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
    """Machine and software, as they were found before the model was loaded."""
    measurement_warnings: tuple[str, ...]
    """Sentences about what may make the figures wrong."""
    reproducibility_notes: tuple[str, ...]
    """Sentences about what a repeat may do differently."""

    energy_uncertainty_j: float | None = None
    """Narrower than the bound; holds if the assumption of the estimator holds."""
    figures: dict[str, Quality] = {}
    """Quality of every energy and speed figure, by the name of its field."""
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
    chat_template: ChatTemplate | None = None
    """What made the prompts of conversations; None if the prompts are text or synthetic, and in
    formats 1 to 3."""
    energy_source_kind: Kind | None = None
    """Whether `energy_source` meters GPUs, the CPU, or everything on a board or machine."""
    calibration: tuple[Calibration, ...] = ()
    """How the counter of each metered device behaves; the bounds depend on it."""
    load_before: HostLoad | None = None
    """The machine from the beginning of the run to the window; None in formats 1 to 3, as below."""
    load_in_window: HostLoad | None = None
    """The machine during the window."""
    stops: WindowStops | None = None
    """Times of the window in which the run could not work."""
    cached_input_tokens: int | None = None
    """Of `input_tokens`, those that the backend took from a cache of earlier prompts instead of
    reading them. None if the backend does not report it."""
    n_padding_tokens: int | None = None
    """Positions of padding that prefill computed, not part of `input_tokens`. With several beams,
    each prompt counts once. None if the backend does not report it."""
    padding_share: float | None = None
    """Of the tokens that prefill computed: padding over padding and input tokens that were read."""
    n_tokens_after_end: int | None = None
    """Tokens computed for outputs that had already ended, until the last output of their batch
    ended; not part of `output_tokens`. None if the backend does not report it."""
    energy_host_j: float | None = None
    """Of the processor and its memory during the window, beside GPUs; part of no other figure but
    the next. None in formats 1 to 3, as below, and if the total includes it."""
    energy_per_output_token_with_host_j: float | None = None
    """`energy_total_j` and `energy_host_j` together, over the output tokens."""
    energy_host_bound_j: float | None = None
    """Maximum error of `energy_host_j`, apart from the gain error of the sensor."""
    energy_host_source: str | None = None
    """Name of the source of `energy_host_j`."""
    data_realism: DataRealism | None = None
    """Whether weights and tokens are real or random; None in formats 1 to 3."""
    inputs: tuple[InputDigest, ...] = ()
    """Models, adapters and local data sets that the run has read; () in formats 1 to 3."""
    energy_gain_corrected_j: float | None = None
    """`energy_total_j` with the gains of the sensors in `gains`; None without such a calibration."""
    gains: tuple[GainCalibration, ...] = ()
    """The gain of the sensor of each metered device, from a calibration with an external meter."""
    counter_exactness: Exactness | None = None
    """Least favourable outcome of `board_checks`, or `unverified` if a metered GPU has none; None if no
    GPU was metered, and in formats 1 to 3."""
    board_checks: tuple[BoardCheck, ...] = ()
    """What `llem-cli doctor --check-gpu` found on the metered GPUs, with the driver of this run."""
    roofline: tuple[PhaseRoofline, ...] = ()
    """Work and bound of prefill and decode, for explanation only; () in formats 1 to 3."""
    device_peaks: DevicePeaks | None = None
    """What the device reaches in this precision; None if it is not known: `roofline` says why."""
    quality: AnswerQuality | None = None
    """How probable the model finds a fixed text and its own answers; None in formats 1 to 3."""
    neighbours: tuple[NeighbourGpu, ...] = ()
    """The other GPUs of the machine while the run ran; () in older results."""

    def __repr__(self) -> str:
        """Return one line; `msgspec.to_builtins` gives all fields."""
        return short_repr(self)


MAX_RESULT_BYTES = 2**26
"""Of a `result.json`, which usually has less than 100 kB."""


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
        MeasurementError: it is missing, damaged or of another format (`NewerResultError`).
    """
    try:
        content = read_bytes(Path(path), max_bytes=MAX_RESULT_BYTES)
    except ForeignFileError as error:
        raise MeasurementError(str(error)) from error
    return decode_result(content, path)


def decode_result(content: bytes, path: str | Path) -> ExperimentResult:
    """Return the result in the content of a `result.json`, checked field by field.

    Args:
        content: of the file.
        path: of the file, for messages.

    Raises:
        MeasurementError: the content is damaged or of another format.
    """
    try:
        version = _FORMAT_DECODER.decode(content).schema_version
        if version in _READABLE:
            return _DECODER.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        problem = one_line(str(error), 300)  # it may repeat a value of the file
        raise MeasurementError(f"{path}: damaged, or not a result of llem: {problem}") from error
    problem = f"{path}: expected a result of format 1 to {RESULT_SCHEMA_VERSION}, found {version}"
    if version < RESULT_SCHEMA_VERSION:
        raise MeasurementError(problem)
    raise NewerResultError(f"{problem}, of a newer llem; update llem")


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
    return []
