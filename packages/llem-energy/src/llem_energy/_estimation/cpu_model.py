"""A modelled CPU energy for machines without a meter: an order of magnitude, labelled as such.

It never enters another figure. The model assumes that each busy core draws the same power.
"""

from __future__ import annotations

WATTS_PER_BUSY_CORE = 6.0
"""Thermal design power per core of current server CPUs: 350 W / 56 cores (Xeon Platinum 8480+),
280 W / 64 cores (EPYC 7763): 4.4 to 6.3 W. The power of a machine can differ by a factor of 2."""

METHOD = (
    f"modelled, not measured: CPU time of the run and its processes in the window x {WATTS_PER_BUSY_CORE:g} W "
    "per busy core; no GPU, no memory, no idle power"
)


def estimated_energy_j(cpu_time_s: float) -> float:
    """Return the modelled energy in joules of a CPU time in seconds."""
    return cpu_time_s * WATTS_PER_BUSY_CORE
