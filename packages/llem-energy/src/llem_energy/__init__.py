"""Measure the energy of one LLM inference experiment.

    from llem_energy import measure
    result = measure(config)              # an ExperimentResult; energies with their bound

Importing this loads neither torch nor the NVIDIA driver.
"""

from llem_energy._backends.protocol import Answer, Backend, Batch, Memory, Phase, Workload
from llem_energy._backends.registry import backend_names, preload
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
from llem_energy._measurement.carryover import Prior, prior_of
from llem_energy._measurement.measure import STAGES, measure
from llem_energy._metering.calibration import Calibration, calibrate
from llem_energy._metering.calibration_cache import load_calibrations, save_calibrations
from llem_energy._model_info.builtin import builtin_architecture, builtin_names
from llem_energy._model_info.flops import Flops
from llem_energy._model_info.memory_estimate import MemoryEstimate, estimate_memory, gigabytes
from llem_energy._preflight.availability import missing_libraries, obstacles, unmet_needs
from llem_energy._preflight.context_fit import position_warnings
from llem_energy._preflight.memory_fit import memory_obstacles
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
from llem_energy._sources.registry import missing_meters
from llem_energy.testing import CONTRACT, ContractBroken

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
