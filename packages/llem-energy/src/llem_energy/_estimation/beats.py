"""Steps of a model that keep pace with a meter which observes the board part of the time.

A meter that sees the share `a` of each of its periods mixes its harmonics with the power. A step that
repeats `k / S` times a second passes as a slow change, at the distance of `k / S` from the nearest
harmonic `m / P`: a beat. Over few beats its error does not average out. A quarter of a period does
not average fast steps away either: of the fifth harmonic 18 % is left, of the tenth 13 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

import msgspec

SEEN_SHARE = 0.25
"""Of each period: the least that is known of a sensor."""
_OVERTONES = 5  # of the steps; the shape of a step has little more
_LONG_OVERTONES = 10  # with which long steps, such as batches, reach the first harmonic of a meter
_FIRST_HARMONIC = 1.5
_ALL_OVERTONES = math.pi**2 / 8  # of a step with two levels that keeps pace, over the first one
_SEEN_DIRECTLY = 0.5  # periods of a meter that show two sides of a slower change
_SAME = 5e-4  # to which the duration of steps over the period of a meter is known
_SIGMAS = 3.0  # of a sum of parts with random phases
# Of slow steps a meter can hide so much that the width of the bound alone is not enough to say.
_FLAGGED_HARMONIC, _FLAGGED_OVERTONE, _FLAGGED = 4, 3, 0.05


class Sweep(NamedTuple):
    """Steps whose duration changes steadily, such as those of tokens with a growing cache."""

    first_s: float
    last_s: float
    n_times: int
    """How often in the window, such as once in each batch."""


Step = float | Sweep


class Beat(msgspec.Struct, frozen=True):
    """One overtone of a step next to a harmonic of a meter."""

    step_s: float
    period_s: float
    overtone: int
    harmonic: int
    n_beats: float
    """How often the two come into step in the window."""
    share: float
    """Of the swing of a step, by which the mean power of the window may be wrong."""


def beats(
    steps_s: Iterable[Step],
    periods_s: Iterable[float | None],
    window_s: float,
    n_parts: int = 1,
) -> tuple[Beat, ...]:
    """Return the beats of the steps and the meter that can hide most; () if all average out.

    The swing is the difference between the two levels of a step. The duty of the step is not known,
    nor the share that the meter sees, only that it is at least a quarter: so each overtone of the
    step has the largest amplitude that any duty gives it, and passes as much as of any such share.

    Args:
        steps_s: times that repeat in the window: of tokens, batches or repeats.
        periods_s: of the counter and of the sensor of power, if known.
        window_s: of the window.
        n_parts: of the window between random pauses, which put the steps to another place.
    """
    known_s = [period_s for period_s in periods_s if period_s]
    each: list[tuple[Beat, ...]] = []
    for step, period_s in product(steps_s, known_s):
        if isinstance(step, Sweep):
            if min(step.first_s, step.last_s) > 0:
                each.append(tuple(_swept(step, period_s, window_s)))
        elif step > 0:
            each.append(tuple(_beats(step, period_s, window_s, n_parts)))
    return max(each, key=missed_share, default=())


def missed_share(found: Iterable[Beat]) -> float:
    """Return by how much the mean power of a window may be wrong, as a share of the swing.

    Not more than half: both levels of a step are at most that far from the mean.
    """
    return min(0.5, _ALL_OVERTONES * math.hypot(*(beat.share for beat in found)))


def beat_reason(found: Iterable[Beat], swing_share: float) -> str | None:
    """Return why a counter that observes the board part of the time is flagged; None if it is not.

    Args:
        found: beats of the window.
        swing_share: the largest swing of a step over the mean power of the window.
    """
    slow = [
        beat
        for beat in found
        if beat.harmonic <= _FLAGGED_HARMONIC
        and beat.overtone <= _FLAGGED_OVERTONE
        and beat.share * swing_share > _FLAGGED
    ]
    if not slow:
        return None
    worst = max(slow, key=lambda beat: beat.share)
    return (
        f"steps of {1000 * worst.step_s:.3g} ms beat with the {1000 * worst.period_s:.3g} ms of the "
        f"meter only {worst.n_beats:.2g} times in the window: if the counter observes this board part "
        "of the time, which was not checked, its error does not average out"
    )


def _beats(step_s: float, period_s: float, window_s: float, n_parts: int) -> Iterator[Beat]:
    n_periods = max(1.0, window_s / period_s)
    for overtone in range(1, _LONG_OVERTONES + 1):
        turns = overtone * period_s / step_s  # in a period of the meter
        if overtone > _OVERTONES and turns > _FIRST_HARMONIC:
            return
        harmonic = round(turns)
        apart = abs(turns - harmonic)
        slip = math.sin(math.pi * max(0.0, apart - _SAME * turns))
        # The counter itself shows beats that change much from one period to the next: `unseen`.
        if turns < _SEEN_DIRECTLY or 2 * slip**2 * math.sqrt(n_periods / 2) >= 1:
            continue
        coherent = 1 / max(1.0, n_periods / n_parts * slip)
        if n_parts > 1:
            coherent *= _random_share(n_parts)
        share = _passed(overtone, turns) * coherent
        yield Beat(step_s, period_s, overtone, harmonic, apart * n_periods, share)


def _swept(sweep: Sweep, period_s: float, window_s: float) -> Iterator[Beat]:
    """Yield the harmonics that an overtone passes: it keeps pace for a part of the sweep.

    At a constant rate of change it adds up as if for the root of the time in which it changes by one
    turn in this time.
    """
    sweep_s = window_s / sweep.n_times
    for overtone in range(1, _OVERTONES + 1):
        low, high = sorted(
            (overtone * period_s / sweep.first_s, overtone * period_s / sweep.last_s)
        )
        turns = round((low + high) / 2)
        if not max(_SEEN_DIRECTLY, low * (1 - _SAME)) <= turns <= high * (1 + _SAME):
            turns = math.ceil(low)
            if not _SEEN_DIRECTLY <= turns <= high:
                continue
        n_slips = (high - low) * sweep_s / period_s
        share = _passed(overtone, turns) / math.sqrt(max(1.0, n_slips))
        share *= _random_share(sweep.n_times)  # each begins at another place
        step_s = overtone * period_s / turns
        yield Beat(step_s, period_s, overtone, turns, 0.0, share)


def _random_share(n: int) -> float:
    """Return what is left, at most, of the mean of as many errors with random phases."""
    return min(1.0, _SIGMAS / math.sqrt(2 * n))


def _passed(overtone: int, turns: float) -> float:
    """Return the largest part of the swing that an overtone has after a meter with these turns."""
    return 2 / (math.pi * overtone) * min(1.0, 1 / (math.pi * SEEN_SHARE * turns))
