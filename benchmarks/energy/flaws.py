"""The table of counters with flaws: isolated loads on GPUs whose counter is not ideal.

Each row is one behaviour of a counter and one length of windows. A window whose only reason is that
it is short counts as not flagged, also where it is compared with its bound. The cases are independent
processes on the virtual clock; with `--only`, several calls divide them.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from fakes.fake_nvml import FakeGpu, Fault

from benchmarks.energy.bench import Bench, Row
from benchmarks.energy.peers import run as peer_runs
from benchmarks.energy.peers.run import Measured, Missing

_LENGTHS_S = (1.0, 2.0, 5.0, 10.0)
_IDLE_W, _PREFILL_W, _DECODE_W = 70.0, 650.0, 400.0
_PREFILL_S, _RIPPLE_S, _LOAD_RIPPLE = 0.15, 0.07, 0.04
_NOT_SUPPORTED = 3
_FAR_GUARD = 0.5  # percent
_COVERED = 0.93
_SHORT = "the window is short"
_BASE = FakeGpu(points=((0.0, _IDLE_W),), counter_phase_s=0.037)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A GPU, and what its load looks like."""

    gpu: FakeGpu
    tail_s: float = 0.0  # time constant of the fall of power after a load
    ramp_s: float = 0.0  # duration of a linear fall
    step_s: float = 0.0  # of a decoding step with two phases of power; 0: none
    ripple: float = 0.01  # of idle power, to both sides
    is_ideal: bool = False  # at most 2 % of its windows may be flagged
    lags: bool = False  # the far guard must be right


def _part_time(step_s: float) -> Behaviour:
    return Behaviour(replace(_BASE, counter_seen_s=0.025), step_s=step_s)


_PEERS = (("Zeus", peer_runs.zeus_windows), ("CodeCarbon", peer_runs.codecarbon_windows))

BEHAVIOURS = {
    "ideal": Behaviour(_BASE, is_ideal=True),
    "ideal, idle ripple 5 %": Behaviour(_BASE, ripple=0.05, is_ideal=True),
    "ideal, power falls with 0.1 s": Behaviour(_BASE, tail_s=0.1),
    "ideal, power falls for 1 s": Behaviour(_BASE, ramp_s=1.0),
    "filter 300 ms": Behaviour(replace(_BASE, counter_filter_s=0.3), lags=True),
    "filter 1 s": Behaviour(replace(_BASE, counter_filter_s=1.0), lags=True),
    "filter 300 ms, no instant power": Behaviour(
        replace(_BASE, counter_filter_s=0.3, faults=(Fault("field:186", _NOT_SUPPORTED),)),
        lags=True,
    ),
    "100 ms late": Behaviour(replace(_BASE, counter_delay_s=0.1), lags=True),
    "250 ms late": Behaviour(replace(_BASE, counter_delay_s=0.25), lags=True),
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
}


def _load(behaviour: Behaviour, length_s: float, rng: random.Random) -> dict[str, Any]:
    """Return the power of one load, relative to its start."""
    points = []
    t_s = 0.0
    while t_s < length_s:
        ripple = 1 + rng.uniform(-_LOAD_RIPPLE, _LOAD_RIPPLE)
        if behaviour.step_s and t_s >= _PREFILL_S:
            points += [(t_s, 1.3 * _DECODE_W), (t_s + behaviour.step_s / 2, 0.7 * _DECODE_W)]
            t_s += behaviour.step_s
            continue
        points.append((t_s, ripple * (_PREFILL_W if t_s < _PREFILL_S else _DECODE_W)))
        t_s += _RIPPLE_S * rng.uniform(0.7, 1.3)
    points = [(at_s, watts) for at_s, watts in points if at_s < length_s]
    falls_s = max(behaviour.ramp_s, 5 * behaviour.tail_s)
    for i in range(math.ceil(falls_s / 0.01)):
        share = (
            1 - 0.01 * i / behaviour.ramp_s
            if behaviour.ramp_s
            else math.exp(-0.01 * i / behaviour.tail_s)
        )
        points.append((length_s + 0.01 * i, _IDLE_W + share * (_DECODE_W - _IDLE_W)))
    return {"length_s": length_s, "points": points}


def flaws(bench: Bench) -> Iterator[Row]:
    """Return the errors, bounds and flags of isolated loads for every behaviour of a counter."""
    cases = [
        (name, length_s) for length_s in _LENGTHS_S for name in BEHAVIOURS if bench.only in name
    ]

    def measure(case: tuple[str, float]) -> Row:
        return _row(bench, *case)

    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(measure, cases)


def _row(bench: Bench, name: str, length_s: float) -> Row:
    behaviour = BEHAVIOURS[name]
    rng = random.Random(f"{name}/{length_s}")
    # If a window lasted a whole number of updates, the errors of its two ends would cancel.
    lengths_s = [length_s * rng.uniform(0.9, 1.1) for _ in range(bench.n_flaws)]
    loads = [_load(behaviour, each_s, rng) for each_s in lengths_s]
    request = {
        "idle_w": _IDLE_W,
        "ripple": behaviour.ripple,
        "seed": f"{name}/{length_s}",
        "loads": loads,
        "step_s": behaviour.step_s or None,
    }
    answer = bench.run_our_side("guarded", [behaviour.gpu], request)
    ours = answer["windows"]
    gpu = replace(behaviour.gpu, points=tuple(map(tuple, answer["points"])))
    peers = []
    for peer, energies in _PEERS if bench.has_peers else ():
        windows = [tuple(each["window"]) for each in ours]
        theirs = energies(bench.peers, gpu, windows)
        peers.append(f"{peer} {_errors(theirs, ours)}")
    n = len(ours)
    off = [w["energy_j"] is not None and _off(w) for w in ours]
    flagged = [_is_flagged(w) for w in ours]
    measured = [w for w in ours if w["energy_j"] is not None]
    silent = sum(o and not f for o, f in zip(off, flagged, strict=True)) / n
    errors = [_error(w["energy_j"], w) for w in measured]
    goals, are_met = ["ok but off: 0"], [silent == 0]
    if behaviour.is_ideal:
        goals.append("flagged <= 2 %")
        are_met.append(sum(flagged) <= 0.02 * n)
    far = [_error(w["far_guard_j"], w) for w in ours if w["far_guard_j"] is not None]
    if behaviour.lags and length_s >= _LENGTHS_S[-1]:
        goals.append("far guard <= 0.5 %")
        are_met.append(len(far) == n and max(map(abs, far)) <= _FAR_GUARD)
    doubts, is_covered = _uncertainty(measured)
    return Row(
        f"{name}, {n} windows of {length_s:g} s",
        "; ".join(goals) + "; in uncertainty >= 93 %",
        f"{_median_and_worst(errors)}; ok but off {silent:.1%}; flagged {sum(flagged) / n:.1%}; {doubts}",
        "; ".join(peers) or "-",
        f"{_bounds(measured)}; far guard {_median_and_worst(far)}",
        all(are_met) and is_covered,
    )


def _error(energy_j: float, answer: dict[str, Any]) -> float:
    return float(100 * (energy_j / answer["truth_j"] - 1))


def _uncertainty(measured: Sequence[dict[str, Any]]) -> tuple[str, bool]:
    """Return how often the uncertainty contains the truth, and whether that is as often as it should."""
    given = [w for w in measured if w["uncertainty_j"] is not None]
    if not given:
        return "no uncertainty", True
    n_within = sum(abs(w["energy_j"] - w["truth_j"]) <= w["uncertainty_j"] for w in given)
    share = n_within / len(given)
    return f"in uncertainty {share:.1%}", share >= _COVERED


def _bounds(measured: Sequence[dict[str, Any]]) -> str:
    bounded = [w for w in measured if w["bound_j"] is not None]
    if not bounded:
        return "no bound"
    n_within = sum(not _off(w) for w in bounded)
    bound = statistics.median(100 * w["bound_j"] / w["truth_j"] for w in bounded)
    edges = statistics.median(
        100 * (w["bound_j"] - (w["sampling_j"] or 0.0)) / w["truth_j"] for w in bounded
    )
    return (
        f"in bound {n_within} of {len(bounded)}, median bound {bound:.2g} % ({edges:.2g} % edges)"
    )


def _off(answer: dict[str, Any]) -> bool:
    """Return whether a window is off by more than its bound; an energy without one is flagged."""
    if answer["bound_j"] is None:
        return False
    return bool(abs(answer["energy_j"] - answer["truth_j"]) > answer["bound_j"])


def _is_flagged(answer: dict[str, Any]) -> bool:
    reasons = answer["reasons"]
    return answer["energy_j"] is None or any(_SHORT not in reason for reason in reasons)


def _errors(theirs: Sequence[Measured] | Missing, ours: Sequence[dict[str, Any]]) -> str:
    if isinstance(theirs, Missing):
        return theirs.reason[:60]
    truths = [w["truth_j"] for w in ours]
    return _median_and_worst(
        [
            100 * ((m.energy_j or 0.0) / truth_j - 1)
            for m, truth_j in zip(theirs, truths, strict=True)
        ]
    )


def _median_and_worst(errors: Sequence[float]) -> str:
    if not errors:
        return "no value"
    return f"{statistics.median(errors):.2g}, worst {max(errors, key=abs):.2g} %"
