"""What a counter can miss that observes the board only part of the time.

Sensors of power are known that observe 25 of every 100 ms; nothing is published about the counters
that are fed from them. Such a counter takes what it saw for all of its period. Random differences
average out over a window, and changes of the load are wrong once each: `unseen`. Steps of the
model that keep pace with the counter do not average out: `beats`. Where the end of the work
is in a period, a counter that observes everything shows: `saw_the_end`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from llem_energy._estimation.beats import SEEN_SHARE
from llem_energy._estimation.edge_estimators import CounterWindow, WindowEstimate
from llem_energy._metering.span import Span

_MEAN, _SD = 0.5, 12**-0.5  # of a number between 0 and 1
_Z_95 = 1.96
_INSIDE = (0.1, 0.9)  # of a period: elsewhere a counter that observes a part shows the same
_CLOSE = 0.05  # of the change at the end of the work
_CONTRAST = 0.1  # of the power of the work, by which idle power must be lower


class Unseen(msgspec.Struct, frozen=True):
    """The joules by which a counter that observes part of each period may be wrong."""

    possible_j: float
    likely_j: float
    """In 19 of 20 windows."""

    def with_beats(self, beat_j: float) -> Unseen:
        """Return this with the joules that steps which keep pace with the counter may hide."""
        return Unseen(self.possible_j + beat_j, math.hypot(self.likely_j, beat_j))


def unseen(
    counter: CounterWindow,
    start_s: float,
    end_s: float,
    period_s: float | None = None,
    *,
    peak_w: float = 0.0,
    burst_s: float = math.inf,
) -> Unseen:
    """Return the joules by which a counter that observes part of each period may be wrong.

    The power that it did not see lies between those of the neighbouring periods. A change of power
    in a period in which it observes the share `a` is shown too late or too early by a time that is
    anywhere between 0 and 1 - `a` periods. Whether too late or too early is the same for all
    changes, so the errors of a fall and a rise cancel, and those of two falls do not.

    A window opens just after an update, so the beginning of the work is always at the same place in a
    period. If it draws more power than what follows, as a prefill does, a counter may never see it.

    Args:
        counter: around the window.
        start_s: start of the window.
        end_s: end of the window.
        period_s: the longest of the counter, if known. Readings may be further apart, and updates of a
            counter with a coarse quantum too.
        peak_w: the most that the board draws.
        burst_s: the longest time for which it may have drawn that at the beginning, such as that of the
            prefill.
    """
    times_s = [counter.time_s(i) for i in range(len(counter.updates))]
    first, last = _period_of(times_s, start_s), _period_of(times_s, end_s)
    at_edges = _edge_weights(times_s, start_s) | _edge_weights(times_s, end_s)
    changes: list[tuple[int, float, float]] = []
    for i in range(max(1, first), min(last + 1, len(times_s) - 1)):
        earlier_w, later_w = counter.power_w(i - 1, i), counter.power_w(i, i + 1)
        if earlier_w is None or later_w is None:
            continue
        length_s = max(times_s[i] - times_s[i - 1], times_s[i + 1] - times_s[i])
        length_s = min(length_s, period_s or length_s)
        changes.append((i, later_w - earlier_w, at_edges.get(i, 1.0) * length_s))
    changes_j = [change_w * weight_s for _, change_w, weight_s in changes]
    # Power seems to change if the times of updates are not known well, or by rounding; but then not
    # one of the changes is of that size, but all of them.
    usual_w = math.hypot(*(each[1] for each in changes)) / math.sqrt(max(1, len(changes)))
    certain_j = [
        _without(change_w, _Z_95 * min(usual_w, counter.change_error_w(i))) * weight_s
        for i, change_w, weight_s in changes
    ]
    late = 1 - SEEN_SHARE
    longest_s = min(burst_s, late * _period_s(times_s, first + 1, period_s))
    counted_w = counter.power_w(first + 1, min(first + 2, len(times_s) - 1)) or 0.0
    burst_j = max(0.0, peak_w - counted_w) * longest_s
    possible_j = math.hypot(burst_j, *changes_j)
    likely_j = late * (_MEAN * abs(math.fsum(certain_j)) + _Z_95 * _SD * math.hypot(*certain_j))
    likely_j += burst_j  # in every window, so it is not random
    return Unseen(max(possible_j, likely_j), likely_j)


def _period_s(times_s: Sequence[float], i: int, longest_s: float | None) -> float:
    """Return the time from update `i` to the next one; 0 if there is none."""
    if i + 1 >= len(times_s):
        return 0.0
    length_s = times_s[i + 1] - times_s[i]
    return min(length_s, longest_s or length_s)


def _without(change: float, noise: float) -> float:
    """Return a change without the part that noise explains."""
    return math.copysign(math.sqrt(max(0.0, change**2 - noise**2)), change)


def saw_the_end(counter: CounterWindow, span: Span) -> bool:
    """Return whether the counter showed when the work ended in one of its periods.

    Power falls from one interval to the next; the interval between contains the end. If the counter
    observes all of it, the energy of this interval says at which place. One that observes a quarter
    of each period shows the same energy for most places, and agrees by chance in 1 of 30 windows.

    Args:
        counter: around the window.
        span: the window, with an idle time after it.
    """
    after = counter.first_after(span.end_s)
    if after is None or after < 2 or after + 1 >= len(counter.updates):
        return False
    times_s = [counter.time_s(i) for i in range(after - 2, after + 2)]
    if times_s[0] < span.start_s or times_s[3] > span.end_s + span.guard_s:
        return False
    before_w, mean_w, idle_w = (counter.power_w(i, i + 1) for i in range(after - 2, after + 1))
    if before_w is None or mean_w is None or idle_w is None:
        return False
    change_w, length_s = before_w - idle_w, times_s[2] - times_s[1]
    if change_w < max(_CONTRAST * before_w, counter.quantum_j / length_s / _CLOSE):
        return False
    place = (span.end_s - times_s[1]) / length_s
    noise = counter.idle_noise(span.start_s, span.end_s, span.guard_s)
    outside_s, likely_w = times_s[2] - span.end_s, noise.likely_w if noise else 0.0
    fall_j, _ = counter.fall(after, outside_s, likely_w) or (0.0, 0.0)
    fall_w = fall_j / length_s
    shown = (mean_w - fall_w - idle_w) / change_w
    return _INSIDE[0] <= place <= _INSIDE[1] and abs(shown - place) <= _CLOSE


def with_unseen(
    estimate: WindowEstimate, missed: Unseen, *, beats: bool, is_likely: bool = True
) -> WindowEstimate:
    """Return an estimate with what its counter may not have seen.

    Args:
        estimate: of a counter that sees everything.
        missed: what it may not have seen.
        beats: whether steps of the model keep pace with the counter; the uncertainty is then unknown.
        is_likely: False if the counter showed that it sees everything; only the bound is then wider.
    """
    likely_j = estimate.uncertainty_j
    if likely_j is not None and is_likely:
        likely_j = math.hypot(likely_j, missed.likely_j)
    return msgspec.structs.replace(
        estimate,
        uncertainty_j=None if beats else likely_j,
        low_j=max(0.0, estimate.low_j - missed.possible_j),
        high_j=estimate.high_j + missed.possible_j,
    )


def _period_of(times_s: Sequence[float], t_s: float) -> int:
    """Return the number of the last update before an instant."""
    return max(0, bisect_right(times_s, t_s) - 1)


def _edge_weights(times_s: Sequence[float], t_s: float) -> dict[int, float]:
    """Return the update next to an end of a window, and how much of the change there is uncertain.

    None, if the end is at the update: then no period contains both idle time and work.
    """
    before = _period_of(times_s, t_s)
    if before + 1 >= len(times_s):
        return {}
    length_s = times_s[before + 1] - times_s[before]
    near = min((before, before + 1), key=lambda i: abs(times_s[i] - t_s))
    return {near: min(1.0, abs(times_s[near] - t_s) / (SEEN_SHARE * length_s))}
