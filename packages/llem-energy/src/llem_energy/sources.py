"""Energy sources: read one that exists, or write one for another meter.

    from llem_energy.sources import calibrate, open_source
    source, reasons = open_source(["nvml", "rapl"], gpus=[0])

With these a program builds a meter of its own, for example on another clock or from stored samples:

    with Sampler(source, 0.05, samples) as sampler:      # reads in a thread
        edges = Edges(sampler, calibration, source.devices)
        quiet = edges.approach(sampler.now_s())          # idles until power is known
        sampler.read()
        start_s = sampler.now_s()
        ...                                              # the work
        end_s = sampler.now_s()
        sampler.read()
        span = edges.leave(quiet, start_s, end_s)        # idles again
    energy = window_energy(source, samples.in_order(), span, calibration)

A package provides a source by an entry point of the group `llem.energy_sources`; a study file then
names it in `energy.sources`. `tests/example_source` is a complete example.
"""

from llem_energy._meter.span_energy import window_energy
from llem_energy._meter.window_energy import WindowEnergy
from llem_energy._metering.board_check import BoardCheck
from llem_energy._metering.calibration import Calibration, calibrate
from llem_energy._metering.calibration_cache import (
    load_board_checks,
    load_calibrations,
    save_board_checks,
    save_calibrations,
)
from llem_energy._metering.edges import Edges, QuietEdge
from llem_energy._metering.sampler import Sampler, TakesSamples
from llem_energy._metering.span import WindowSpan
from llem_energy._sources.gpu_state import GpuState, gpu_states
from llem_energy._sources.nvml import NvmlSource
from llem_energy._sources.nvml_gpus import gpu_temperatures_c, gpu_uuids
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
    "Edges",
    "EnergySource",
    "GpuDiagnosis",
    "GpuState",
    "Kind",
    "NvmlSource",
    "QuietEdge",
    "RaplSource",
    "Sample",
    "Sampler",
    "SourceDiagnosis",
    "SourceType",
    "SourceUnavailable",
    "SourceVersions",
    "TakesSamples",
    "WindowEnergy",
    "WindowSpan",
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
    "window_energy",
]
