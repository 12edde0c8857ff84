"""GPUs whose energy counter is not ideal, and the loads that they play."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import Any

from fakes.fake_nvml import FakeGpu, Fault

from llem_energy.sources import BoardCheck

IDLE_W, _PREFILL_W, _DECODE_W = 70.0, 650.0, 400.0
_RIPPLE_S, _LOAD_RIPPLE = 0.07, 0.04
_NOT_SUPPORTED = 3
_BASE = FakeGpu(points=((0.0, IDLE_W),), counter_phase_s=0.037)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A GPU, and what its load looks like."""

    gpu: FakeGpu
    tail_s: float = 0.0  # time constant of the fall of power after a load
    tail_w: float = _DECODE_W - IDLE_W  # above idle, from which power falls like that
    ramp_s: float = 0.0  # duration of a linear fall
    short_tail_s: float = 0.0  # duration of `tail_w` above idle power, after which power is idle
    step_s: float = 0.0  # of a decoding step with two phases of power; 0: none
    ripple: float = 0.01  # of idle power, to both sides
    before_s: float = (
        0.0  # duration of other work that ends when the idle time before a load begins
    )
    prefill_s: float = 0.15  # at the beginning of a load
    load_w: float = 0.0  # of a load without prefill; 0: that of a model
    idle_after_w: float = IDLE_W  # idle power after a load, until the next one
    is_ideal: bool = False  # at most 2 % of its windows may be flagged
    lags: bool = False  # the far guard must be right
    is_checked: bool = False  # a check found that the counter is exact, and observes all the time

    @property
    def possible_delay_s(self) -> float:
        """By how much the counter may be late although a check found it exact."""
        if not self.is_checked:
            return 0.0
        return BoardCheck(
            device="", driver="", verdict="exact", counter_period_s=self.gpu.counter_period_s,
            counter_delay_s=self.gpu.counter_delay_s, counter_lag_s=self.gpu.counter_filter_s,
            power_lag_s=0.0, explained_share=1.0, seen_share=1.0, phase_spread_share=0.0,
            part_time_reason=None, checked_at="",
        ).possible_delay_s  # fmt: skip


def _part_time(step_s: float) -> Behaviour:
    return Behaviour(replace(_BASE, counter_seen_s=0.025), step_s=step_s)


BEHAVIOURS = {
    "ideal": Behaviour(_BASE, is_ideal=True),
    "ideal, checked": Behaviour(_BASE, is_ideal=True, is_checked=True),
    "ideal, idle ripple 5 %": Behaviour(_BASE, ripple=0.05, is_ideal=True),
    "ideal, power falls with 0.1 s": Behaviour(_BASE, tail_s=0.1),
    "ideal, power falls for 1 s": Behaviour(_BASE, ramp_s=1.0),
    "checked, power falls with 0.1 s": Behaviour(_BASE, tail_s=0.1, is_checked=True),
    "checked, power falls for 1 s": Behaviour(_BASE, ramp_s=1.0, is_checked=True),
    "checked, decay: falls with 0.1 s from 30 W": Behaviour(
        _BASE, tail_s=0.1, tail_w=30.0, is_checked=True
    ),
    "checked, short tail: 50 W for 50 ms": Behaviour(
        _BASE, short_tail_s=0.05, tail_w=50.0, is_checked=True
    ),
    "checked, plateau: 30 W for 150 ms": Behaviour(
        _BASE, short_tail_s=0.15, tail_w=30.0, is_checked=True
    ),
    "checked, plateau: 50 W for 120 ms": Behaviour(
        _BASE, short_tail_s=0.12, tail_w=50.0, is_checked=True
    ),
    "checked, plateau: 20 W for 200 ms": Behaviour(
        _BASE, short_tail_s=0.2, tail_w=20.0, is_checked=True
    ),
    "24 ms late": Behaviour(replace(_BASE, counter_delay_s=0.024)),
    # Below a quarter of the period, a delay or a filter counts as none in a check.
    "checked, 24 ms late": Behaviour(replace(_BASE, counter_delay_s=0.024), is_checked=True),
    "checked, filter 24 ms": Behaviour(replace(_BASE, counter_filter_s=0.024), is_checked=True),
    "filter 300 ms": Behaviour(replace(_BASE, counter_filter_s=0.3), lags=True),
    "filter 1 s": Behaviour(replace(_BASE, counter_filter_s=1.0), lags=True),
    "filter 300 ms, no instant power": Behaviour(
        replace(_BASE, counter_filter_s=0.3, faults=(Fault("field:186", _NOT_SUPPORTED),)),
        lags=True,
    ),
    "100 ms late": Behaviour(replace(_BASE, counter_delay_s=0.1), lags=True),
    "250 ms late": Behaviour(replace(_BASE, counter_delay_s=0.25), lags=True),
    "period 20 ms, 250 ms late": Behaviour(
        replace(_BASE, counter_period_s=0.02, counter_delay_s=0.25), lags=True
    ),
    "period 20 ms, filter 300 ms": Behaviour(
        replace(_BASE, counter_period_s=0.02, counter_filter_s=0.3), lags=True
    ),
    "250 ms late, work before": Behaviour(
        replace(_BASE, counter_delay_s=0.25), before_s=2.0, lags=True
    ),
    "250 ms late, idle 90 W after": Behaviour(
        replace(_BASE, counter_delay_s=0.25), idle_after_w=90.0, lags=True
    ),
    # The sensor of instant power is no better than the counter: that looks like a slow board.
    "filter 300 ms, sensor too": Behaviour(
        replace(_BASE, counter_filter_s=0.3, power_filter_s=0.3)
    ),
    "filter 1 s, sensor too": Behaviour(replace(_BASE, counter_filter_s=1.0, power_filter_s=1.0)),
    "100 ms late, sensor too": Behaviour(replace(_BASE, counter_delay_s=0.1, power_delay_s=0.1)),
    "250 ms late, sensor too": Behaviour(replace(_BASE, counter_delay_s=0.25, power_delay_s=0.25)),
    "50 ms late, power falls with 0.1 s": Behaviour(
        replace(_BASE, counter_delay_s=0.05), tail_s=0.1
    ),
    "filter 1 s, load of 79 W": Behaviour(replace(_BASE, counter_filter_s=1.0), load_w=79.0),
    "2 s late": Behaviour(replace(_BASE, counter_delay_s=2.0)),
    "20 ms in idle, 100 ms under load": Behaviour(
        replace(_BASE, counter_period_s=0.02, counter_every=(5, 200.0, math.inf))
    ),
    "1 s in idle, 100 ms under load": Behaviour(replace(_BASE, counter_every=(10, 0.0, 200.0))),
    "bursts, 20 / 180 ms": Behaviour(replace(_BASE, counter_burst_s=0.08)),
    "does not count below 100 W": Behaviour(replace(_BASE, counter_threshold_w=100.0)),
    "quantum 50 J": Behaviour(replace(_BASE, counter_quantum_mj=50_000)),
    "quantum 1 J": Behaviour(replace(_BASE, counter_quantum_mj=1000)),
    "32-bit float": Behaviour(replace(_BASE, counter_float32=True)),
    # With 32 bits, 4.3 MJ would have to pass between two windows with a wrap.
    "wraps every 4.2 kJ (22 bits)": Behaviour(
        replace(_BASE, counter_bits=22, counter_initial_mj=1_000_000)
    ),
    "part-time 25 of 100 ms, steps of 50 ms": _part_time(0.05),
    "part-time 25 of 100 ms, steps of 40 ms": _part_time(0.04),
    "part-time 25 of 100 ms, steps of 33.3 ms": _part_time(0.0333),
    # A window opens at an update, so all of a short prefill is in the part that is not observed.
    "part-time 25 of 100 ms, prefill of 60 ms": Behaviour(
        replace(_BASE, counter_seen_s=0.025), prefill_s=0.06
    ),
    "part-time 125 of 500 ms, prefill of 300 ms": Behaviour(
        replace(_BASE, counter_period_s=0.5, counter_seen_s=0.125), prefill_s=0.3
    ),
    # Fast steps: a quarter of the period does not average them away either.
    "part-time 25 of 100 ms, steps of 20 ms": _part_time(0.02),
    "part-time 25 of 100 ms, steps of 10 ms": _part_time(0.01),
    "ideal, steps of 20 ms": Behaviour(_BASE, step_s=0.02, is_ideal=True),
}


def load(behaviour: Behaviour, length_s: float, rng: random.Random) -> dict[str, Any]:
    """Return the power of one load, relative to its start."""
    points = []
    t_s = 0.0
    while t_s < length_s:
        ripple = 1 + rng.uniform(-_LOAD_RIPPLE, _LOAD_RIPPLE)
        if behaviour.step_s and t_s >= behaviour.prefill_s:
            points += [(t_s, 1.3 * _DECODE_W), (t_s + behaviour.step_s / 2, 0.7 * _DECODE_W)]
            t_s += behaviour.step_s
            continue
        is_prefill = t_s < behaviour.prefill_s
        watts = behaviour.load_w or (_PREFILL_W if is_prefill else _DECODE_W)
        points.append((t_s, ripple * watts))
        later_s = t_s + _RIPPLE_S * rng.uniform(0.7, 1.3)
        t_s = min(later_s, behaviour.prefill_s) if is_prefill else later_s
    points = [(at_s, watts) for at_s, watts in points if at_s < length_s]
    falls_s = max(behaviour.ramp_s, 5 * behaviour.tail_s)
    for i in range(math.ceil(falls_s / 0.01)):
        share = (
            1 - 0.01 * i / behaviour.ramp_s
            if behaviour.ramp_s
            else math.exp(-0.01 * i / behaviour.tail_s)
        )
        points.append((length_s + 0.01 * i, IDLE_W + share * behaviour.tail_w))
    if behaviour.short_tail_s:
        points += [
            (length_s, IDLE_W + behaviour.tail_w), (length_s + behaviour.short_tail_s, IDLE_W)
        ]  # fmt: skip
    return {
        "length_s": length_s, "points": points, "before_s": behaviour.before_s,
        "before_w": _DECODE_W, "idle_after_w": behaviour.idle_after_w,
    }  # fmt: skip
