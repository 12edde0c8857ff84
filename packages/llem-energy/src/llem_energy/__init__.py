"""Measure the energy of one LLM inference experiment.

    from llem_energy import measure
    result = measure(config)              # an ExperimentResult; energies with their bound

Importing this loads neither torch nor the NVIDIA driver.
"""

from llem_energy._errors import BackendError, DatasetError, GpuError, MeasurementError, OutOfMemory
from llem_energy._measurement.carryover import Carryover, carryover_from
from llem_energy._measurement.measure import STAGES, measure
from llem_energy._result.experiment_result import ExperimentResult, read_result

__all__ = [
    "STAGES",
    "BackendError",
    "Carryover",
    "DatasetError",
    "ExperimentResult",
    "GpuError",
    "MeasurementError",
    "OutOfMemory",
    "carryover_from",
    "measure",
    "read_result",
]
