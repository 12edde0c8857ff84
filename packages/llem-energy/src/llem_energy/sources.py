"""Energy sources: read one that exists, or write one for another meter.

    from llem_energy.sources import calibrate, open_source
    source, reasons = open_source(["nvml", "rapl"], gpus=[0])

A package provides a source by an entry point of the group `llem.energy_sources`; a study file then
names it in `energy.sources`. `tests/example_source` is a complete example.
"""

from llem_energy._metering.board_check import BoardCheck
from llem_energy._metering.calibration import Calibration, calibrate
from llem_energy._metering.calibration_cache import (
    load_board_checks,
    load_calibrations,
    save_board_checks,
    save_calibrations,
)
from llem_energy._sources.gpu_state import GpuState, gpu_states
from llem_energy._sources.nvml import NvmlSource
from llem_energy._sources.nvml_gpu import gpu_temperatures_c, gpu_uuids
from llem_energy._sources.protocol import (
    CounterDiagnosis,
    EnergySource,
    GpuDiagnosis,
    Kind,
    Sample,
    SourceDiagnosis,
    SourceType,
    SourceUnavailable,
    SourceVersions,
)
from llem_energy._sources.rapl import RaplSource
from llem_energy._sources.registry import open_source, source_names
from llem_energy._sources.throttling import THROTTLE_REASONS

__all__ = [
    "THROTTLE_REASONS",
    "BoardCheck",
    "Calibration",
    "CounterDiagnosis",
    "EnergySource",
    "GpuDiagnosis",
    "GpuState",
    "Kind",
    "NvmlSource",
    "RaplSource",
    "Sample",
    "SourceDiagnosis",
    "SourceType",
    "SourceUnavailable",
    "SourceVersions",
    "calibrate",
    "gpu_states",
    "gpu_temperatures_c",
    "gpu_uuids",
    "load_board_checks",
    "load_calibrations",
    "open_source",
    "save_board_checks",
    "save_calibrations",
    "source_names",
]
