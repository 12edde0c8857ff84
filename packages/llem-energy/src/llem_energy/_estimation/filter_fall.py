"""The fall of a counter's power behind a first-order filter, and what the filter still holds back.

After the work, the power of such a counter falls by the same share in equal times. Three mean powers
determine the fall: its time constant, the idle power that it approaches, and what is left of it. So
idle power need not be known, nor reached.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from llem_energy._estimation.edge_estimators import CounterWindow

_MIN_UPDATES = 8  # after the first one
_FALLS = 0.02  # of the power; a smaller fall from one part to the next is noise
_N_FITS, _LEFT_OUT = 4, 8  # each leaves out one more eighth of the updates


class Fall(NamedTuple):
    """Power behind a first-order filter: it falls by the same share in equal times."""

    tau_s: float
    idle_w: float
    """What it falls to."""
    above_w: float
    """Above that at the last update."""

    def energy_j(self, rise_j: float, outside_s: float, before_w: float | None) -> float:
        """Return the energy of a window.

        What a filter holds back is its time constant times its power. It must be added at the end,
        and subtracted at the start if earlier work was still held back there.

        Args:
            rise_j: of the counter, from the start of the window to the last update.
            outside_s: from the end of the window to the last update.
            before_w: power of the counter before the window.
        """
        before_w = self.idle_w if before_w is None else max(before_w, self.idle_w)
        held_back_j = self.tau_s * (self.above_w - (before_w - self.idle_w))
        return rise_j - self.idle_w * outside_s + held_back_j


def filter_falls(counter: CounterWindow, first: int, last: int) -> tuple[Fall, ...]:
    """Return the fall of power after a window, several times, with fewer of the first updates.

    The differences between them show how well one exponential describes the fall.

    Args:
        counter: around the window.
        first: number of the first update after the window.
        last: number of the last one.

    Returns:
        One from all updates, and three from later ones; () if the counter has settled, or does not
        fall by the same share in equal times.
    """
    n = last - first
    if n < _MIN_UPDATES:
        return ()
    fits = [_fall(counter, first + k * n // _LEFT_OUT, last) for k in range(_N_FITS)]
    found = tuple(fall for fall in fits if fall is not None)
    # A slower fall looks like a line, which has any time constant.
    is_fast = len(found) == _N_FITS and found[0].tau_s <= counter.time_s(last) - counter.time_s(
        first
    )
    return found if is_fast else ()


def _fall(counter: CounterWindow, first: int, last: int) -> Fall | None:
    """Return the exponential through the mean powers of three equal parts of the time."""
    n = (last - first) // 3
    ends = (last - 3 * n, last - 2 * n, last - n, last)
    early_w, middle_w, late_w = (counter.power_w(i, j) for i, j in pairwise(ends))
    if early_w is None or middle_w is None or late_w is None:
        return None
    before_w, after_w = early_w - middle_w, middle_w - late_w
    if not _FALLS * abs(late_w) < after_w < before_w:
        return None
    share = after_w / before_w  # that is left after the time of a part
    length_s = (counter.time_s(last) - counter.time_s(ends[0])) / 3
    tau_s = -length_s / math.log(share)
    above_w = after_w * share / (1 - share)
    # The mean of a part, and what is left of it at its end.
    left_w = above_w * length_s / tau_s * share / (1 - share)
    return Fall(tau_s, late_w - above_w, left_w) if late_w > above_w else None
