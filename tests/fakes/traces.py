"""The power traces of the energy benchmarks, and the windows that are measured on them.

The true energy of each is a closed form (`true_energy_j`). The counter has a phase, so no change of
power coincides with an update; otherwise a read between two updates would look exact. Power ripples
both under load and at idle, as on a real GPU, because some meters drop a reading that equals the
one before.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from fakes.fake_nvml import FakeGpu

Window = tuple[float, float]  # start and end in seconds of the fake
_Point = tuple[float, float]  # seconds, watts

_PHASE_S = 0.037
_REQUESTS_S = 5.43  # not a multiple of 0.1 s, so all phases of a sensor occur
_JUMP_S = 1e-6  # times must rise, so in a linear trace a jump takes 1 us
_RIPPLE_S = 0.07  # a few decoding steps
_LOAD_RIPPLE, _IDLE_RIPPLE = 0.04, 0.01  # shares of the power
_IDLE_W, _PREFILL_W, _DECODE_W = 95.0, 650.0, 420.0  # of the blocks


def _ripple(t0: float, t1: float, w: float, share: float, rng: random.Random) -> Iterator[_Point]:
    """Yield points from `t0` until before `t1` that vary around a power."""
    while t0 < t1 - 2 * _JUMP_S:
        yield t0, w * (1 + rng.uniform(-share, share))
        t0 += _RIPPLE_S * rng.uniform(0.7, 1.3)


def _requests() -> tuple[_Point, ...]:
    """Return three requests of different length: prefill spike, rising plateau, short wait."""
    levels = (
        (0.0, 650.0), (0.11, 400.0), (0.9, 420.0), (1.62, 140.0),
        (1.77, 680.0), (2.03, 410.0), (3.21, 430.0), (4.4, 140.0),
        (4.52, 640.0), (4.58, 390.0), (5.16, 140.0), (_REQUESTS_S, 0.0),
    )  # fmt: skip
    rng = random.Random(0)
    return tuple(
        point
        for (t0, w), (t1, _) in pairwise(levels)
        for point in _ripple(t0, t1, w, _LOAD_RIPPLE, rng)
    )


CONSTANT = FakeGpu(points=((0.0, 300.0),), counter_phase_s=_PHASE_S)
SQUARE = FakeGpu(points=((0.0, 100.0), (0.4, 600.0)), repeat_s=0.8, counter_phase_s=_PHASE_S)
LLM = FakeGpu(points=_requests(), repeat_s=_REQUESTS_S, counter_phase_s=_PHASE_S)
RAMP = FakeGpu(
    points=((0.0, 100.0), (60.0, 600.0), (120.0, 100.0)),
    linear=True,
    repeat_s=120.0,
    counter_phase_s=_PHASE_S,
)
TRACES = {"constant": CONSTANT, "square 0.8 s": SQUARE, "LLM": LLM, "ramp": RAMP}


@dataclass(frozen=True, slots=True)
class Blocks:
    """Isolated loads on a GPU that is otherwise idle.

    Attributes:
        gpu: the trace.
        windows: start and end of each load; the first starts at 3 s.
        idle_w: mean power before, between and after the loads.
        tail_s: time that the power takes to fall to `idle_w` after a load.
    """

    gpu: FakeGpu
    windows: tuple[Window, ...]
    idle_w: float
    tail_s: float


def blocks(n: int = 27, *, tail_s: float = 0.0, seed: int = 0) -> Blocks:
    """Return `n` loads of 0.9 to 3.1 s with 1.5 to 2.5 s idle between them.

    The tail is exponential with a time constant of `tail_s / 4`. It consists of eight straight lines
    that deviate from the curve by at most 2.5 % of the power of the load; the true energy is that of
    the lines.
    """
    rng, ripple = random.Random(seed), random.Random(seed + 1)
    points: list[_Point] = []
    windows: list[Window] = []

    def play(t0: float, t1: float, w: float, share: float) -> None:
        if points:
            points.append((t0 - _JUMP_S, points[-1][1]))
        points.extend(_ripple(t0, t1, w, share, ripple))

    idle_from_s = 0.0
    for _ in range(n):
        t0 = windows[-1][1] + rng.uniform(1.5, 2.5) if windows else 3.0
        t1 = t0 + rng.uniform(0.9, 3.1)
        play(idle_from_s, t0, _IDLE_W, _IDLE_RIPPLE)
        play(t0, t0 + 0.15, _PREFILL_W, _LOAD_RIPPLE)
        play(t0 + 0.15, t1, _DECODE_W, _LOAD_RIPPLE)
        points += _tail(t1, tail_s) if tail_s else []
        windows.append((t0, t1))
        idle_from_s = t1 + tail_s
    play(idle_from_s, idle_from_s + 10, _IDLE_W, _IDLE_RIPPLE)
    gpu = FakeGpu(points=tuple(points), linear=True, counter_phase_s=_PHASE_S)
    return Blocks(gpu, tuple(windows), _IDLE_W, tail_s)


def _tail(t1: float, tail_s: float) -> list[_Point]:
    falling = [(k / 8, (_DECODE_W - _IDLE_W) * math.exp(-4 * k / 8)) for k in range(8)]
    line = [(t1 + share * tail_s, _IDLE_W + over_w) for share, over_w in falling]
    return [*line, (t1 + tail_s - 2 * _JUMP_S, _IDLE_W)]


def random_windows(
    length_s: float, n: int, *, start_s: float = 3.0, span_s: float = 600.0, seed: int = 0
) -> tuple[Window, ...]:
    """Return `n` windows at random places of a trace, sorted by start; they may overlap.

    Their lengths also vary, by up to 10 % around `length_s`: if a window lasts a whole number of
    counter updates, the errors of its two edges cancel, which flatters a meter.

    Args:
        length_s: approximate length of each window.
        n: number of windows.
        start_s: no window starts earlier.
        span_s: no window ends later than this after `start_s`.
        seed: a different seed gives different windows.
    """
    rng = random.Random(f"{seed}/{length_s}")
    lengths_s = [length_s * rng.uniform(0.9, 1.1) for _ in range(n)]
    starts_s = [start_s + rng.uniform(0, span_s - window_s) for window_s in lengths_s]
    pairs = zip(starts_s, lengths_s, strict=True)
    return tuple(sorted((t_s, t_s + window_s) for t_s, window_s in pairs))
