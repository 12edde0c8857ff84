"""The table of counters with flaws: isolated loads on GPUs whose counter is not ideal.

Each row is one behaviour of a counter; a cell has a value for each length of windows. A window whose
only reason is that it is short counts as not flagged, also where it is compared with its bound. All
meters measure the same windows on the virtual clock, so nothing waits. The behaviours are
independent processes; with `--only`, several calls divide them.
"""

from __future__ import annotations

import math
import os
import random
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from fakes.fake_nvml import FakeGpu, Fault

from benchmarks.energy.bench import Bench, verdict
from benchmarks.energy.peers import run as peer_runs
from benchmarks.energy.peers.run import Measured, Missing

_LENGTHS_S = (1.0, 2.0, 5.0, 10.0)
_IDLE_W, _PREFILL_W, _DECODE_W = 70.0, 650.0, 400.0
_PREFILL_S, _RIPPLE_S, _LOAD_RIPPLE = 0.15, 0.07, 0.04
_NOT_SUPPORTED = 3
_FAR_GUARD = 0.5  # percent
_COVERED = 0.93, 0.99
_MAX_FALSE = 0.02
HEADER = (
    "counter",
    "median error, %",
    "worst error, %",
    "median bound, %",
    "flagged, %",
    "ok but off",
    "in uncertainty, %",
    "median uncertainty, J",
    "far guard, worst, %",
    "Zeus, median (worst), %",
    "CodeCarbon",
    "met",
)
_SHORT = "the window is short"
_BASE = FakeGpu(points=((0.0, _IDLE_W),), counter_phase_s=0.037)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A GPU, and what its load looks like."""

    gpu: FakeGpu
    tail_s: float = 0.0  # time constant of the fall of power after a load
    tail_w: float = _DECODE_W - _IDLE_W  # above idle, from which power falls like that
    ramp_s: float = 0.0  # duration of a linear fall
    short_tail_s: float = 0.0  # duration of `tail_w` above idle power, after which power is idle
    step_s: float = 0.0  # of a decoding step with two phases of power; 0: none
    ripple: float = 0.01  # of idle power, to both sides
    is_ideal: bool = False  # at most 2 % of its windows may be flagged
    lags: bool = False  # the far guard must be right
    is_checked: bool = False  # the counter is known to observe the board all the time


def _part_time(step_s: float) -> Behaviour:
    return Behaviour(replace(_BASE, counter_seen_s=0.025), step_s=step_s)


_PEERS = (peer_runs.zeus_windows, peer_runs.codecarbon_windows)

BEHAVIOURS = {
    "ideal": Behaviour(_BASE, is_ideal=True),
    "ideal, checked": Behaviour(_BASE, is_ideal=True, is_checked=True),
    "ideal, idle ripple 5 %": Behaviour(_BASE, ripple=0.05, is_ideal=True),
    "ideal, power falls with 0.1 s": Behaviour(_BASE, tail_s=0.1),
    "ideal, power falls for 1 s": Behaviour(_BASE, ramp_s=1.0),
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
        points.append((length_s + 0.01 * i, _IDLE_W + share * behaviour.tail_w))
    if behaviour.short_tail_s:
        points += [
            (length_s, _IDLE_W + behaviour.tail_w), (length_s + behaviour.short_tail_s, _IDLE_W)
        ]  # fmt: skip
    return {"length_s": length_s, "points": points}


@dataclass(frozen=True, slots=True)
class FlawRow:
    """A row of the table: for each length of windows, what our meter and the peers measured."""

    name: str
    behaviour: Behaviour
    lengths: tuple[_Windows, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of the row."""
        each = self.lengths
        peers = [" / ".join(length.peers[i] for length in each) for i in range(len(_PEERS))]
        return (
            self.name,
            " / ".join(
                _percent(length.errors and statistics.median(length.errors)) for length in each
            ),
            " / ".join(_percent(length.errors and max(length.errors, key=abs)) for length in each),
            " / ".join(_number(length.bound) for length in each),
            " / ".join(f"{100 * length.flagged:.3g}" for length in each),
            str(sum(length.n_silent for length in each)),
            _covered(self.covered),
            " / ".join(_number(length.uncertainty_j) for length in each),
            " / ".join(_percent(length.far and max(length.far, key=abs)) for length in each),
            peers[0],
            "the same" if peers[0] == peers[1] else peers[1],
            verdict(self.is_met()) + (" (wide)" if (self.covered or 0.0) > _COVERED[1] else ""),
        )

    @property
    def covered(self) -> float | None:
        """The share of windows with an uncertainty in which it holds; None without such windows."""
        counts = [length.covered for length in self.lengths]
        n_given = sum(n_given for _, n_given in counts)
        return sum(n_held for n_held, _ in counts) / n_given if n_given else None

    def is_met(self) -> bool:
        """Return whether the goals of every length are reached."""
        last = self.lengths[-1]
        far_is_right = max(map(abs, last.far), default=math.inf) <= _FAR_GUARD
        return (
            all(length.n_silent == 0 for length in self.lengths)
            and (not self.behaviour.is_ideal or all(w.flagged <= _MAX_FALSE for w in self.lengths))
            and (not self.behaviour.lags or far_is_right)
            and (self.covered is None or self.covered >= _COVERED[0])
        )


@dataclass(frozen=True, slots=True)
class _Windows:
    """What windows of one length have shown; errors in percent."""

    errors: Sequence[float]
    bound: float | None
    flagged: float
    n_silent: int  # off by more than the bound, and not flagged
    covered: tuple[int, int]  # windows within the uncertainty, of those that have one
    uncertainty_j: float | None
    far: Sequence[float]  # of the far guard
    peers: Sequence[str]


def flaws(bench: Bench) -> Iterator[FlawRow]:
    """Return the errors, bounds and flags of isolated loads for every behaviour of a counter."""

    def measure(name: str) -> FlawRow:
        return FlawRow(name, BEHAVIOURS[name], _measured(bench, name))

    # Most of the time is the start of processes.
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        yield from pool.map(measure, [name for name in BEHAVIOURS if bench.only in name])


def _measured(bench: Bench, name: str) -> tuple[_Windows, ...]:
    """Measure windows of all lengths in a row with each meter."""
    behaviour, n = BEHAVIOURS[name], bench.n_flaws
    rng = random.Random(name)
    # If a window lasted a whole number of updates, the errors of its two ends would cancel.
    lengths_s = [length_s * rng.uniform(0.9, 1.1) for length_s in _LENGTHS_S for _ in range(n)]
    request = {
        "idle_w": _IDLE_W,
        "ripple": behaviour.ripple,
        "seed": name,
        "loads": [_load(behaviour, each_s, rng) for each_s in lengths_s],
        "step_s": behaviour.step_s or None,
        "is_checked": behaviour.is_checked,
    }
    answer = bench.run_our_side("guarded", [behaviour.gpu], request)
    ours = answer["windows"]
    gpu = replace(behaviour.gpu, points=tuple(map(tuple, answer["points"])))
    spans = [tuple(each["window"]) for each in ours]
    theirs = [energies(bench.peers, gpu, spans) if bench.has_peers else None for energies in _PEERS]
    return tuple(
        _summary(
            ours[n * i : n * (i + 1)],
            [each[n * i : n * (i + 1)] if isinstance(each, list) else each for each in theirs],
        )
        for i in range(len(_LENGTHS_S))
    )


def _summary(
    ours: Sequence[dict[str, Any]], theirs: Sequence[Sequence[Measured] | Missing | None]
) -> _Windows:
    measured = [w for w in ours if w["energy_j"] is not None]
    bounds = [100 * w["bound_j"] / w["truth_j"] for w in measured if w["bound_j"] is not None]
    given = [w for w in measured if w["uncertainty_j"] is not None]
    covered = [abs(w["energy_j"] - w["truth_j"]) <= w["uncertainty_j"] for w in given]
    return _Windows(
        errors=[_error(w["energy_j"], w) for w in measured],
        bound=statistics.median(bounds) if bounds else None,
        flagged=sum(map(_is_flagged, ours)) / len(ours),
        n_silent=sum(_off(w) and not _is_flagged(w) for w in measured),
        covered=(sum(covered), len(covered)),
        uncertainty_j=statistics.median(w["uncertainty_j"] for w in given) if given else None,
        far=[_error(w["far_guard_j"], w) for w in ours if w["far_guard_j"] is not None],
        peers=[_theirs(each, ours) for each in theirs],
    )


def _error(energy_j: float, answer: dict[str, Any]) -> float:
    return float(100 * (energy_j / answer["truth_j"] - 1))


def _off(answer: dict[str, Any]) -> bool:
    """Return whether a window is off by more than its bound; an energy without one is flagged."""
    if answer["bound_j"] is None:
        return False
    return bool(abs(answer["energy_j"] - answer["truth_j"]) > answer["bound_j"])


def _is_flagged(answer: dict[str, Any]) -> bool:
    reasons = answer["reasons"]
    return answer["energy_j"] is None or any(_SHORT not in reason for reason in reasons)


def _theirs(theirs: Sequence[Measured] | Missing | None, ours: Sequence[dict[str, Any]]) -> str:
    if theirs is None:
        return "-"
    if isinstance(theirs, Missing):
        return theirs.reason[:60]
    errors = [_error(m.energy_j or 0.0, w) for m, w in zip(theirs, ours, strict=True)]
    return f"{_percent(statistics.median(errors))} ({_percent(max(errors, key=abs))})"


def _percent(error: Any) -> str:
    """Return a signed error; without windows there is none."""
    return f"{error:+.2g}" if isinstance(error, float) else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _covered(share: float | None) -> str:
    return "none given" if share is None else f"{100 * share:.3g}"
