"""One load between two idle times, as a counter and a sensor of power see it."""

from __future__ import annotations

import math
from collections.abc import Callable

from llem_energy._estimation.device_energy import DeviceEnergy, device_energy
from llem_energy._metering.window import MeasuredSpan
from llem_energy._sources.protocol import Sample

IDLE_W, LOAD_W = 70.0, 400.0
START_S, END_S = 2.013, 4.028  # the counter is updated every 0.1 s
TRUTH_J = LOAD_W * (END_S - START_S)
Curve = Callable[[float], float]


def energy(t_s: float) -> float:
    """Return the true joules since 0 of idle, load and idle."""
    return IDLE_W * t_s + (LOAD_W - IDLE_W) * min(max(t_s - START_S, 0.0), END_S - START_S)


def power(t_s: float) -> float:
    """Return the true power."""
    return LOAD_W if START_S <= t_s < END_S else IDLE_W


def filtered(tau_s: float) -> Curve:
    """Return the energy behind a first-order filter, in closed form."""

    def held_back_w(t_s: float) -> float:
        on, off = (math.exp(-max(0.0, t_s - edge_s) / tau_s) for edge_s in (START_S, END_S))
        return (LOAD_W - IDLE_W) * (off - on)

    return lambda t_s: energy(t_s) - tau_s * held_back_w(t_s)


def filtered_w(tau_s: float) -> Curve:
    """Return the power behind such a filter."""

    def passed(t_s: float) -> float:
        on, off = (1 - math.exp(-max(0.0, t_s - edge_s) / tau_s) for edge_s in (START_S, END_S))
        return IDLE_W + (LOAD_W - IDLE_W) * (on - off)

    return passed


def tail(tau_s: float) -> tuple[Curve, Curve]:
    """Return energy and power of a board that needs time to fall to idle power."""
    above_w = LOAD_W - IDLE_W

    def fallen(t_s: float) -> float:
        return math.exp(-max(0.0, t_s - END_S) / tau_s)

    return (
        lambda t_s: energy(t_s) + tau_s * above_w * (1 - fallen(t_s)),
        lambda t_s: IDLE_W + above_w * fallen(t_s) if t_s >= END_S else power(t_s),
    )


def metered(
    counted: Curve,
    drawn: Curve = power,
    *,
    has_power: bool = True,
    after_s: float = 1.5,
    is_gpu: bool = True,
    is_checked: bool = False,
    shift_s: float = 0.0,
    late_s: float = 0.0,
) -> DeviceEnergy:
    """Return the energy of a window that a counter and a sensor of power have seen.

    It begins and ends by `shift_s` earlier, at another place in the period of the counter. A check
    may have missed that the counter is late by `late_s`.
    """

    def step(t_s: float) -> float:
        return 0.1 * math.floor(t_s / 0.1 + 1e-9)

    samples = [
        Sample(
            "GPU", t_s, 0.0, energy_j=1000 + counted(step(t_s)),
            power_w=drawn(step(t_s)) if has_power else None,
        )
        for t_s in (1.0 + 0.001 * k for k in range(int(1000 * (END_S + after_s - 1.0))))
    ]  # fmt: skip
    start_s, end_s = START_S - shift_s, END_S - shift_s
    span = MeasuredSpan(start_s, end_s, 0.0, 1, 0.35, after_s=after_s)
    return device_energy(
        samples, span, limit_w=700.0, checks_guard=is_gpu, sees_all=is_checked, is_exact=is_checked,
        late_s=late_s,
    )  # fmt: skip


def error_j(device: DeviceEnergy) -> float:
    """Return by how much the energy of the load is wrong."""
    assert device.energy_j is not None
    return abs(device.energy_j - TRUTH_J)
