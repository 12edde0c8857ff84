"""Find out what this machine can measure, and how well.

    from llem_config import load_settings
    from llem_energy.doctor import diagnose
    diagnosis = diagnose(load_settings())

`llem-cli doctor` prints the same.
"""

from llem_energy._board_check.bench import Load
from llem_energy._host.host_load import HostLoad
from llem_energy._machine.doctor import diagnose
from llem_energy._machine.doctor_report import (
    DiagnosedDomain,
    DiagnosedGpu,
    DiagnosedSource,
    Diagnosis,
)
from llem_energy._measurement.check_gpu import check_gpu

__all__ = [
    "DiagnosedDomain",
    "DiagnosedGpu",
    "DiagnosedSource",
    "Diagnosis",
    "HostLoad",
    "Load",
    "check_gpu",
    "diagnose",
]
