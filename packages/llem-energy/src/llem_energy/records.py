"""The structs of `result.json`, `requests.parquet` and `live.json`, and how to write a result.

`llem_energy.read_result` reads the file; docs/files.md describes every field.
"""

from llem_energy._backends.roofline import PeakConditions, Peaks
from llem_energy._errors import NewerResultError
from llem_energy._estimation.figures import DeviceWindow, ErrorBudget, EstimateFigure, Quality
from llem_energy._host.host_load import HostLoad, WindowStops
from llem_energy._machine.snapshot import EnvironmentSnapshot
from llem_energy._measurement.peaks_store import load_peaks, save_peaks
from llem_energy._measurement.requests import Request
from llem_energy._metering.live_file import LiveDevice, LiveReading
from llem_energy._model_info.flops import Flops
from llem_energy._model_info.memory_estimate import MemoryEstimate
from llem_energy._prompts.prompt import ChatTemplate
from llem_energy._result.answer_quality import AnswerQuality, agreement
from llem_energy._result.data_realism import DataRealism, number_types, random_data_caveat
from llem_energy._result.experiment_result import (
    MAX_RESULT_BYTES,
    RESULT_SCHEMA_VERSION,
    Latency,
    Span,
    check_finite,
    decode_result,
    encode_result,
)
from llem_energy._result.gain_sentence import gain_sentence
from llem_energy._result.measurement_figures import (
    Baseline,
    ContextIdle,
    PhaseResult,
    Sampling,
    WarmUpReport,
)
from llem_energy._result.neighbours import NeighbourGpu
from llem_energy._result.roofline import DevicePeaks, PhaseRoofline
from llem_energy._sources.gpu_snapshot import GpuSnapshot

__all__ = [
    "MAX_RESULT_BYTES",
    "RESULT_SCHEMA_VERSION",
    "AnswerQuality",
    "Baseline",
    "ChatTemplate",
    "ContextIdle",
    "DataRealism",
    "DevicePeaks",
    "DeviceWindow",
    "EnvironmentSnapshot",
    "ErrorBudget",
    "EstimateFigure",
    "Flops",
    "GpuSnapshot",
    "HostLoad",
    "Latency",
    "LiveDevice",
    "LiveReading",
    "MemoryEstimate",
    "NeighbourGpu",
    "NewerResultError",
    "PeakConditions",
    "Peaks",
    "PhaseResult",
    "PhaseRoofline",
    "Quality",
    "Request",
    "Sampling",
    "Span",
    "WarmUpReport",
    "WindowStops",
    "agreement",
    "check_finite",
    "decode_result",
    "encode_result",
    "gain_sentence",
    "load_peaks",
    "number_types",
    "random_data_caveat",
    "save_peaks",
]
