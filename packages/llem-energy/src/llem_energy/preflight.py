"""Check experiments before they run, without importing an inference library.

    from llem_energy.preflight import check, find_machine
    report = check([config], find_machine())

The report lists what makes a run impossible, what will fail, and what may fail.
"""

from llem_energy._backends.first_study import FirstStudy
from llem_energy._machine.machine import Machine, MachineGpu, find_machine
from llem_energy._machine.precision import half_precision
from llem_energy._preflight.availability import missing_libraries
from llem_energy._preflight.context_fit import context_tokens
from llem_energy._preflight.data_sets import DatasetCheck, DatasetFinding, check_datasets
from llem_energy._preflight.devices import gpus_used
from llem_energy._preflight.findings import Finding
from llem_energy._preflight.first_studies import first_studies
from llem_energy._preflight.memory_fit import MemoryNeed, memory_need
from llem_energy._preflight.report import PreflightReport, check, check_files
from llem_energy._sources.gpu_choice import GpuChoice, Grant, ShownGpu, choose_gpus
from llem_energy._sources.shown_gpus import shown_gpus

__all__ = [
    "DatasetCheck",
    "DatasetFinding",
    "Finding",
    "FirstStudy",
    "GpuChoice",
    "Grant",
    "Machine",
    "MachineGpu",
    "MemoryNeed",
    "PreflightReport",
    "ShownGpu",
    "check",
    "check_datasets",
    "check_files",
    "choose_gpus",
    "context_tokens",
    "find_machine",
    "first_studies",
    "gpus_used",
    "half_precision",
    "memory_need",
    "missing_libraries",
    "shown_gpus",
]
