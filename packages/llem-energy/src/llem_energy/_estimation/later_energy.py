"""The energy of a window from a later update: idle power is subtracted for the time since its end."""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

from llem_energy._estimation.edge_estimators import WindowEstimate
from llem_energy._estimation.filter_fall import filter_falls
from llem_energy._estimation.guard_updates import IDLE_CHANGE, GuardUpdates
from llem_energy._metering.power_tolerance import STRETCH_S

_T_3 = 3.182  # 97.5 % quantile of Student's t with 3 degrees of freedom
_SLOWEST_S = 1.5  # time constant of a filter that a guard of any length must show


class LaterEnergy(NamedTuple):
    """What the last update of the guard says about the energy of a window."""

    energies_j: tuple[float, ...]
    """The likely one first, then with idle power after and before the window."""
    falls_j: tuple[float, ...]
    """By fits of a fall behind a filter, from fewer and fewer updates; () if it is none."""
    outside_s: float
    """From the end of the window to the update."""
    idle_j: float
    """By which a change of idle power may change the energy."""
    noise_j: float
    """By which the usual variation of idle power changes it in 19 of 20 windows."""

    def differences_j(self, chosen: WindowEstimate) -> list[float]:
        """Return by how much each energy is above another estimate."""
        return [energy_j - chosen.energy_j for energy_j in self.energies_j]

    def uncertainty_j(self) -> float:
        """Return the error of the likely energy, if the counter has settled or falls like a filter."""
        if self.falls_j:  # the fits find idle power too
            return _T_3 * statistics.stdev(self.falls_j)
        return math.hypot(max(self.energies_j) - min(self.energies_j), self.noise_j)

    def hidden_j(self, difference_j: float) -> float:
        """Return the largest difference that is likely if the guard had been long enough.

        Args:
            difference_j: that it shows.
        """
        return (difference_j + self.noise_j) / (1 - math.exp(-self.outside_s / _SLOWEST_S))


def later_energy(guard: GuardUpdates, start_j: float) -> LaterEnergy:
    """Return the energy of a window from the last update of the guard.

    Args:
        guard: after the window.
        start_j: energy at its start, on the scale of the counter.
    """
    counter, span, idle = guard.counter, guard.span, guard.idle
    rise_j = counter.updates[guard.last].energy_j - start_j
    outside_s = counter.time_s(guard.last) - span.end_s
    # Idle power may have changed after the window.
    energies_j = [rise_j - watts * outside_s for watts in idle.counter_w]
    # A filtered counter has not settled, before the window neither.
    falls_j = tuple(
        fall.energy_j(rise_j, outside_s, idle.before_w)
        for fall in filter_falls(counter, guard.first, guard.last)
    )
    idle_j = IDLE_CHANGE * idle.after_w * outside_s
    noise = counter.idle_noise(span.start_s, span.end_s, span.guard_s)
    return LaterEnergy(
        energies_j=(*falls_j[:1], *energies_j),
        falls_j=falls_j,
        outside_s=outside_s,
        idle_j=idle_j,
        noise_j=noise.likely_j(outside_s, STRETCH_S) if noise else idle_j,
    )
