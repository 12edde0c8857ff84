"""The structs of `result.json`, and how to write one.

`llem_energy.read_result` reads the file; docs/files.md describes every field.
"""

from llem_energy._estimation.figures import DeviceWindow, ErrorBudget, EstimateFigure, Quality
from llem_energy._machine.snapshot import EnvironmentSnapshot
from llem_energy._result.experiment_result import (
    RESULT_SCHEMA_VERSION,
    Latency,
    Span,
    check_finite,
    encode_result,
)
from llem_energy._result.measurement_figures import (
    Baseline,
    ContextIdle,
    PhaseResult,
    Sampling,
    WarmUpReport,
)
from llem_energy._sources.gpu_snapshot import GpuSnapshot

__all__ = [
    "RESULT_SCHEMA_VERSION",
    "Baseline",
    "ContextIdle",
    "DeviceWindow",
    "EnvironmentSnapshot",
    "ErrorBudget",
    "EstimateFigure",
    "GpuSnapshot",
    "Latency",
    "PhaseResult",
    "Quality",
    "Sampling",
    "Span",
    "WarmUpReport",
    "check_finite",
    "encode_result",
]
