"""Measure the energy of one LLM inference experiment.

    from llem_energy import measure
    result = measure(config)              # an ExperimentResult; energies with their bound

Importing this loads neither torch nor the NVIDIA driver.
"""

from llem_energy._backend import (
    Answer,
    Backend,
    Batch,
    Memory,
    Phase,
    Prompt,
    Workload,
    backend_names,
    preload,
)
from llem_energy._builtin import builtin_architecture, builtin_names
from llem_energy._calibration import Calibration, calibrate
from llem_energy._calibration_cache import load_calibrations, save_calibrations
from llem_energy._capacity import gigabytes, memory_obstacles
from llem_energy._contract import CONTRACT, ContractBroken
from llem_energy._diagnosis import diagnose
from llem_energy._errors import (
    BackendError,
    DatasetError,
    GpuError,
    MeasurementError,
    OutOfMemory,
)
from llem_energy._figures import (
    Baseline,
    DeviceWindow,
    ErrorBudget,
    EstimateFigure,
    PhaseResult,
    Quality,
    Sampling,
    WarmUpReport,
)
from llem_energy._findings import DiagnosedDomain, DiagnosedGpu, DiagnosedSource, Diagnosis
from llem_energy._gpu_states import GpuState, gpu_states
from llem_energy._measure import STAGES, measure
from llem_energy._memory import MemoryEstimate, estimate_memory
from llem_energy._nvml import gpu_temperatures_c, gpu_uuids
from llem_energy._positions import position_warnings
from llem_energy._prior import ContextIdle, Prior, prior_of
from llem_energy._reachable import missing_libraries, obstacles, unmet_needs
from llem_energy._results import (
    RESULT_SCHEMA_VERSION,
    ExperimentResult,
    Flops,
    Latency,
    Span,
    check_finite,
    encode_result,
    read_result,
)
from llem_energy._snapshots import EnvironmentSnapshot, GpuSnapshot
from llem_energy._source import missing_meters

__all__ = [
    "CONTRACT",
    "RESULT_SCHEMA_VERSION",
    "STAGES",
    "Answer",
    "Backend",
    "BackendError",
    "Baseline",
    "Batch",
    "Calibration",
    "ContextIdle",
    "ContractBroken",
    "DatasetError",
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
    "GpuError",
    "GpuSnapshot",
    "GpuState",
    "Latency",
    "MeasurementError",
    "Memory",
    "MemoryEstimate",
    "OutOfMemory",
    "Phase",
    "PhaseResult",
    "Prior",
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
    "check_finite",
    "diagnose",
    "encode_result",
    "estimate_memory",
    "gigabytes",
    "gpu_states",
    "gpu_temperatures_c",
    "gpu_uuids",
    "load_calibrations",
    "measure",
    "memory_obstacles",
    "missing_libraries",
    "missing_meters",
    "obstacles",
    "position_warnings",
    "preload",
    "prior_of",
    "read_result",
    "save_calibrations",
    "unmet_needs",
]
