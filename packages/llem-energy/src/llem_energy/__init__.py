"""Measure the energy of your own code, or of one LLM inference experiment.

    from llem_energy import EnergyMeter
    with EnergyMeter() as meter, meter.window("generate") as window:
        ...                               # any code
    print(window.energy.total_j, "J, error at most", window.energy.bound_j)

    from llem_energy import measure
    result = measure(config)              # an ExperimentResult; energies with their bound

Importing this loads neither torch nor the NVIDIA driver. Each name is imported when it is first used,
so that a program which only needs the meter does not wait for the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llem_energy._errors import (
        BackendError,
        DatasetError,
        GpuError,
        MeasurementError,
        OutOfMemory,
    )
    from llem_energy._measurement.carryover import Carryover, carryover_from
    from llem_energy._measurement.measure import STAGES, measure
    from llem_energy._meter.energy_meter import EnergyMeter
    from llem_energy._meter.energy_window import EnergyWindow
    from llem_energy._meter.window_energy import WindowEnergy
    from llem_energy._result.experiment_result import ExperimentResult, read_result

__all__ = [
    "STAGES",
    "BackendError",
    "Carryover",
    "DatasetError",
    "EnergyMeter",
    "EnergyWindow",
    "ExperimentResult",
    "GpuError",
    "MeasurementError",
    "OutOfMemory",
    "WindowEnergy",
    "carryover_from",
    "measure",
    "read_result",
]

_MODULES = {
    "_errors": ("BackendError", "DatasetError", "GpuError", "MeasurementError", "OutOfMemory"),
    "_measurement.carryover": ("Carryover", "carryover_from"),
    "_measurement.measure": ("STAGES", "measure"),
    "_meter.energy_meter": ("EnergyMeter",),
    "_meter.energy_window": ("EnergyWindow",),
    "_meter.window_energy": ("WindowEnergy",),
    "_result.experiment_result": ("ExperimentResult", "read_result"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
