"""How much idle power varies from one update of a counter to the next.

The energy between an end of a window and an update outside it is idle power times the time between.
Idle power is measured in the intervals of the guard, and its differences there show how far it can
be from that of the time between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

_T_975 = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Quantiles of Student's t from 1 degree of freedom on. Source: any printed table."""


class IdleNoise(NamedTuple):
    """Standard deviation of the mean power of an interval between two updates."""

    sd_w: float
    n_free: int
    """Degrees of freedom."""

    def likely_j(self, outside_s: float, interval_s: float) -> float:
        """Return the error of an energy outside the window, exceeded in 1 of 20 windows.

        Args:
            outside_s: between the end of the window and the update.
            interval_s: in which idle power was measured.
        """
        # The measured mean is wrong for all of the time. The power of the time itself varies more,
        # because it is shorter: variations are taken as independent from one moment to the next.
        joules = self.sd_w * math.sqrt(outside_s * (outside_s + interval_s))
        return _T_975[min(self.n_free, len(_T_975)) - 1] * joules

    def explains(self, difference_w: float) -> bool:
        """Return whether two intervals differ by no more than idle power varies."""
        return abs(difference_w) <= _T_975[min(self.n_free, len(_T_975)) - 1] * self.sd_w * 2**0.5


def idle_noise(powers_w: Sequence[Sequence[float]], least_w: float = 0.0) -> IdleNoise | None:
    """Return how much idle power varies.

    Args:
        powers_w: mean power of intervals in a row, without load, for each idle time.
        least_w: what they vary by in any case, because the counter is rounded.

    Returns:
        None if there is only one difference between neighbours, which says almost nothing.
    """
    squares = [(later - earlier) ** 2 for row in powers_w for earlier, later in pairwise(row)]
    if len(squares) < 2:
        return None
    return IdleNoise(max(math.sqrt(math.fsum(squares) / 2 / len(squares)), least_w), len(squares))
