"""The scripted backend, on a device whose peaks are known."""

from __future__ import annotations

from benchmarks.report.scripted_backend import ScriptedBackend
from llem_energy.backends import PeakConditions, Peaks


class RatedBackend(ScriptedBackend):
    """Measuring the peaks takes no time."""

    def peak_conditions(self) -> PeakConditions:
        """Return the conditions under which the peaks hold."""
        return PeakConditions(device="scripted", precision="bfloat16", library="none")

    def measure_peaks(self) -> Peaks:
        """Return the peaks."""
        return Peaks(tflops=1.0, copy_gb_s=2.0, read_gb_s=3.0)
