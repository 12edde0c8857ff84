"""A modelled CPU energy for machines without a meter: an order of magnitude, labelled as such.

It never enters another figure. Each busy core is taken to draw the same power, whatever it does.
"""

from __future__ import annotations

WATTS_PER_BUSY_CORE = 6.0
"""Thermal design power per core of current server CPUs: 350 W / 56 cores (Xeon Platinum 8480+),
280 W / 64 cores (EPYC 7763): 4.4 to 6.3 W. The true figure of a machine may well be 2 times off."""

METHOD = (
    f"modelled, not measured: CPU time of this process in the window x {WATTS_PER_BUSY_CORE:g} W "
    "per busy core; no GPU, no memory, no idle power"
)


def estimated_energy_j(cpu_time_s: float) -> float:
    """Return the modelled joules of a CPU time in seconds."""
    return cpu_time_s * WATTS_PER_BUSY_CORE
