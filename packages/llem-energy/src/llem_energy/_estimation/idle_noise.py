"""How much idle power varies from one update of a counter to the next.

The energy between an end of a window and an update outside it is idle power times the time between.
Idle power is measured in the intervals of the guard, and its differences there show how far it can
be from that of the time between. A part of these differences is known: the instant of an update is
known to a fraction of a millisecond only, and its value is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

_T_975 = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Quantiles of Student's t from 1 degree of freedom on. Source: any printed table."""


_Z_975 = 1.96  # of a normal distribution: the errors of updates are known, not estimated


class IdleNoise(NamedTuple):
    """Standard deviations of the mean power of an interval between two updates."""

    own_w: float
    """Of idle power itself."""
    read_w: float
    """Because of the error of one update; an interval has two."""
    n_free: int
    """Degrees of freedom."""

    def likely_j(self, outside_s: float, interval_s: float) -> float:
        """Return the error of an energy outside the window, exceeded in 1 of 20 windows.

        Args:
            outside_s: between the end of the window and the update.
            interval_s: in which idle power was measured.
        """
        read_j = _Z_975 * math.sqrt(2) * self.read_w * outside_s
        return math.hypot(self.own_likely_j(outside_s, interval_s), read_j)

    def own_likely_j(self, outside_s: float, interval_s: float) -> float:
        """Return the part of `likely_j` of idle power itself, without errors of updates."""
        # The measured mean is wrong for all of the time. Power itself varies more in a shorter time:
        # its variations are taken as independent from one moment to the next.
        seen_s = math.hypot(outside_s, math.sqrt(outside_s * interval_s))
        return self._quantile() * self.own_w * seen_s

    @property
    def likely_w(self) -> float:
        """The error of the mean power of an interval, exceeded in 1 of 20."""
        return math.hypot(self._quantile() * self.own_w, _Z_975 * math.sqrt(2) * self.read_w)

    def explains(self, difference_w: float) -> bool:
        """Return whether two neighbouring intervals differ by no more than idle power varies."""
        # They share an update, whose error counts twice.
        own_w = self._quantile() * math.sqrt(2) * self.own_w
        return abs(difference_w) <= math.hypot(own_w, _Z_975 * math.sqrt(6) * self.read_w)

    def _quantile(self) -> float:
        return _T_975[min(self.n_free, len(_T_975)) - 1]


def idle_noise(powers_w: Sequence[Sequence[float]], read_w: float = 0.0) -> IdleNoise | None:
    """Return how much idle power varies.

    Args:
        powers_w: mean power of intervals in a row, without load, for each idle time.
        read_w: standard deviation of it because of the error of one update.

    Returns:
        None if there are no neighbours to compare.
    """
    squares = [(later - earlier) ** 2 for row in powers_w for earlier, later in pairwise(row)]
    if not squares:
        return None
    own = math.fsum(squares) / 2 / len(squares) - 3 * read_w**2
    return IdleNoise(math.sqrt(max(0.0, own)), read_w, len(squares))
