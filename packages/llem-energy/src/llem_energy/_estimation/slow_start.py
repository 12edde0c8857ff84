"""Whether a counter showed the beginning of the work as late as its end.

A board whose power falls slowly after the work still begins to work at once. A meter that is late or
filtered shows the beginning late too. So the beginning of a window tells the two apart, also where
the sensor of power is as late, or as filtered, as the counter.
"""

from __future__ import annotations

import math
from itertools import takewhile
from typing import NamedTuple

from llem_energy._estimation.edge_estimators import CounterWindow
from llem_energy._metering.power_tolerance import STRETCH_S
from llem_energy._metering.span import Span

_N_STRETCHES = 4  # from the start: a load may change later for reasons of its own
_BEGINS = 1 / 3  # of what a meter that lags does not show yet: work takes a moment to begin
_MORE = 1.2  # behind a filter, the highest power lacks something too
_AT_LEAST = 0.75  # of the mean power of the work, which its first moment reaches
_SOON = 0.25  # of an interval: work that began so soon after an update began with it


class FirstMoment(NamedTuple):
    """What a counter showed of the beginning of the work."""

    powers_w: tuple[float, ...]
    """Above power before the window, in stretches of the same length from its start on."""
    length_s: float
    """Of a stretch."""

    def rose_slowly(self, load_w: float, lag_s: float) -> bool:
        """Return whether it is what a meter would show that lags; False if it cannot be told.

        Args:
            load_w: mean power of the window, above idle power.
            lag_s: the delay, or the time constant of a filter, that the end of the window suggests.
        """
        if len(self.powers_w) < 2 or lag_s <= 0:
            return False
        shown = _shown_at_first(lag_s / self.length_s, len(self.powers_w))
        # A meter that is later than these stretches shows nothing of the work in any of them.
        highest_w = max(_AT_LEAST * load_w, *self.powers_w)
        return self.powers_w[0] < (shown + _BEGINS * (1 - shown)) * highest_w

    def missing_j(self, load_w: float) -> float:
        """Return the energy that is lacking before the highest power, if the work began at once.

        Args:
            load_w: mean power of the window, above idle power.
        """
        highest_w = max(_AT_LEAST * load_w, *self.powers_w, 0.0)
        before = takewhile(lambda watts: watts < highest_w, self.powers_w)
        return _MORE * sum(highest_w - watts for watts in before) * self.length_s


def first_moment(counter: CounterWindow, span: Span, before_w: float | None) -> FirstMoment:
    """Return what a counter showed of the beginning of a window.

    Args:
        counter: around the window.
        span: the window.
        before_w: power of the counter before it; if it is not known, nothing can be told.
    """
    if before_w is None:
        return FirstMoment((), 0.0)
    powers_w, length_s = _first_powers(counter, span, before_w)
    return FirstMoment(tuple(powers_w), length_s)


def _first_powers(counter: CounterWindow, span: Span, before_w: float) -> tuple[list[float], float]:
    """Return power above that before the window in its first stretches, and the length of one."""
    after = counter.first_after(span.start_s)
    if after is None or after < 1:
        return [], 0.0
    period_s = counter.time_s(after) - counter.time_s(after - 1)
    is_soon = span.start_s - counter.time_s(after - 1) <= _SOON * period_s
    begin = after - 1 if is_soon else after
    first_s = counter.time_s(begin)
    powers_w: list[float] = []
    for i in range(begin + 1, len(counter.updates)):
        if counter.time_s(i) > span.end_s or len(powers_w) == _N_STRETCHES:
            break
        # Power over a shorter time depends too much on when the counter was read.
        if counter.time_s(i) - counter.time_s(begin) >= STRETCH_S:
            powers_w.append((counter.power_w(begin, i) or 0.0) - before_w)
            begin = i
    return powers_w, (counter.time_s(begin) - first_s) / max(1, len(powers_w))


def _shown_at_first(lag: float, n: int) -> float:
    """Return the share of the power of stretch `n` that a meter shows in the first one.

    Args:
        lag: of the meter, in stretches: a delay, or the time constant of a filter. The larger share
            of the two counts.
        n: number of stretches.
    """

    def filtered(k: int) -> float:
        return 1 - lag * (math.exp(-k / lag) - math.exp(-(k + 1) / lag))

    return max(0.0, 1 - lag, filtered(0) / filtered(n - 1))
