"""Measure the energy of one LLM inference experiment.

    from llem_energy import measure
    result = measure(config)              # an ExperimentResult; energies with their bound

Importing this loads neither torch nor the NVIDIA driver.
"""

from llem_energy._backends.facts import BackendFacts, DeviceChoice
from llem_energy._backends.memory import estimate_memory
from llem_energy._backends.protocol import Backend, Batch, Generation, Memory, Phase, Workload
from llem_energy._backends.registry import backend_names, facts_of, preload
from llem_energy._errors import (
    BackendError,
    DatasetError,
    GpuError,
    MeasurementError,
    OutOfMemory,
)
from llem_energy._estimation.figures import DeviceWindow, ErrorBudget, EstimateFigure, Quality
from llem_energy._machine.doctor import diagnose
from llem_energy._machine.doctor_report import (
    DiagnosedDomain,
    DiagnosedGpu,
    DiagnosedSource,
    Diagnosis,
)
from llem_energy._machine.snapshot import EnvironmentSnapshot
from llem_energy._measurement.carryover import Carryover, carryover_from
from llem_energy._measurement.measure import STAGES, measure
from llem_energy._metering.calibration import Calibration, calibrate
from llem_energy._metering.calibration_cache import load_calibrations, save_calibrations
from llem_energy._model_info.builtin import builtin_architecture, builtin_names
from llem_energy._model_info.flops import Flops
from llem_energy._model_info.memory_estimate import MemoryEstimate, MemoryLayout, gigabytes
from llem_energy._model_info.model_ref import ModelRef
from llem_energy._prompts.prompt import Prompt
from llem_energy._result.experiment_result import (
    RESULT_SCHEMA_VERSION,
    ExperimentResult,
    Latency,
    Span,
    check_finite,
    encode_result,
    read_result,
)
from llem_energy._result.measurement_figures import (
    Baseline,
    ContextIdle,
    PhaseResult,
    Sampling,
    WarmUpReport,
)
from llem_energy._sources.gpu_snapshot import GpuSnapshot
from llem_energy._sources.gpu_state import GpuState, gpu_states
from llem_energy._sources.nvml_gpu import gpu_temperatures_c, gpu_uuids

__all__ = [
    "RESULT_SCHEMA_VERSION",
    "STAGES",
    "Backend",
    "BackendError",
    "BackendFacts",
    "Baseline",
    "Batch",
    "Calibration",
    "Carryover",
    "ContextIdle",
    "DatasetError",
    "DeviceChoice",
    "DeviceWindow",
    "DiagnosedDomain",
    "DiagnosedGpu",
    "DiagnosedSource",
    "Diagnosis",
    "EnvironmentSnapshot",
    "ErrorBudget",
    "EstimateFigure",
    "ExperimentResult",
    "Flops",
    "Generation",
    "GpuError",
    "GpuSnapshot",
    "GpuState",
    "Latency",
    "MeasurementError",
    "Memory",
    "MemoryEstimate",
    "MemoryLayout",
    "ModelRef",
    "OutOfMemory",
    "Phase",
    "PhaseResult",
    "Prompt",
    "Quality",
    "Sampling",
    "Span",
    "WarmUpReport",
    "Workload",
    "backend_names",
    "builtin_architecture",
    "builtin_names",
    "calibrate",
    "carryover_from",
    "check_finite",
    "diagnose",
    "encode_result",
    "estimate_memory",
    "facts_of",
    "gigabytes",
    "gpu_states",
    "gpu_temperatures_c",
    "gpu_uuids",
    "load_calibrations",
    "measure",
    "preload",
    "read_result",
    "save_calibrations",
]
