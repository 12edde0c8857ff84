"""Energy over time, from the readings of a meter or a board; gives mean power over any interval."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise


class EnergyCurve:
    """Cumulative energy at increasing times; linear between two readings.

    No power is given for an interval that overlaps a gap, or is not covered.
    """

    def __init__(self, times_s: Sequence[float], energies_j: Sequence[float], max_gap_s: float):
        """Take n >= 2 readings in order of time.

        Args:
            times_s: increasing.
            energies_j: cumulative energy from any zero.
            max_gap_s: a longer interval between two readings is a gap.
        """
        self._times_s, self._energies_j = times_s, energies_j
        long = [b - a > max_gap_s for a, b in pairwise(times_s)]
        self._n_gaps = [0, *accumulate(long)]  # before each reading

    @property
    def start_s(self) -> float:
        """Time of the first reading."""
        return self._times_s[0]

    @property
    def end_s(self) -> float:
        """Time of the last reading."""
        return self._times_s[-1]

    @property
    def n_gaps(self) -> int:
        """Number of gaps."""
        return self._n_gaps[-1]

    def mean_w(self, start_s: float, end_s: float) -> float | None:
        """Return the mean power between two instants; None if it is not known.

        Args:
            start_s: of the interval.
            end_s: of the interval, after `start_s`.
        """
        if start_s < self.start_s or end_s > self.end_s:
            return None
        first = bisect_right(self._times_s, start_s) - 1
        last = bisect_left(self._times_s, end_s)
        if self._n_gaps[last] != self._n_gaps[first]:
            return None
        return (self._at(end_s) - self._at(start_s)) / (end_s - start_s)

    def _at(self, t_s: float) -> float:
        after = min(bisect_right(self._times_s, t_s), len(self._times_s) - 1)
        t0_s, t1_s = self._times_s[after - 1], self._times_s[after]
        e0_j, e1_j = self._energies_j[after - 1], self._energies_j[after]
        return e0_j + (e1_j - e0_j) * (t_s - t0_s) / (t1_s - t0_s)


def energies_under(times_s: Sequence[float], powers_w: Sequence[float]) -> list[float]:
    """Return the cumulative integral of power by the trapezoid rule, 0 at the first reading."""
    steps = (
        (t1 - t0) * (w0 + w1) / 2
        for (t0, t1), (w0, w1) in zip(pairwise(times_s), pairwise(powers_w), strict=True)
    )
    return [0.0, *accumulate(steps)]
