"""How a sensor reports a load that steps up and down: late, smeared, or exact."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from llem_energy._board_check.readings import Piece

Burst = tuple[float, float]  # start and end of a load

_REACHED = 0.9  # of a step
_DELAYS = [*(k / 20 for k in range(-4, 31)), *(k / 4 for k in range(7, 25))]  # in periods
_LAGS = (
    0.0,
    0.05,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.75,
    1.0,
    1.5,
    2.0,
    3.0,
    5.0,
    10.0,
)  # in periods
_TOLERANCE = 0.25  # of a period: a smaller delay or lag counts as none
_SLOW_S = 0.045  # a board that needs less time to change its power is no reason for doubt


class Wave:
    """A load of height 1 or 0 after a first-order lag."""

    def __init__(self, bursts: Sequence[Burst], lag_s: float) -> None:
        self._lag_s = lag_s
        self._times_s = [edge for burst in bursts for edge in burst]
        self._marks = [(0.0, 0.0)]  # area of the load, and height after the lag, at each edge
        for i, (a, b) in enumerate(pairwise(self._times_s)):
            area, height = self._marks[-1]
            load = 1.0 - i % 2
            self._marks.append((area + load * (b - a), self._relax(height, load, b - a)))

    def _relax(self, height: float, load: float, seconds: float) -> float:
        if not self._lag_s:
            return load
        return load + (height - load) * math.exp(-seconds / self._lag_s)

    def area(self, t_s: float) -> float:
        """Return the area under the wave up to an instant."""
        i = bisect_right(self._times_s, t_s) - 1
        if i < 0:
            return 0.0
        area, height = self._marks[i]
        load, seconds = 1.0 - i % 2, t_s - self._times_s[i]
        # With a lag, lag * y' = x - y: the area is that of the load minus the part still to come.
        return area + load * seconds - self._lag_s * self._relax(height, load, seconds)


class Fit(msgspec.Struct, frozen=True):
    """A square wave as a sensor reports it: late by a delay and smeared by a lag."""

    delay_s: float
    lag_s: float
    off_w: float
    on_w: float
    explained: float
    """Share of the variance of power that the load explains."""

    @property
    def swing_w(self) -> float:
        """Return the watts by which the load exceeds idle."""
        return self.on_w - self.off_w


def is_filtered(counter: Fit, power: Fit | None, period_s: float) -> bool:
    """Return whether a counter is filtered.

    Power itself takes time to rise and fall, which both meters show. Only the part of the lag that
    the power sensor does not show is due to the counter.
    """
    power_lag_s = power.lag_s if power is not None else 0.0
    return counter.lag_s - power_lag_s > _TOLERANCE * period_s


def is_slow(counter: Fit, period_s: float) -> bool:
    """Return whether a counter follows the load slowly, whatever the reason.

    If instant power is as slow, the board may be, or one filter may be before both meters.
    """
    return counter.lag_s > max(_SLOW_S, _TOLERANCE * period_s)


def is_late(counter: Fit, period_s: float) -> bool:
    """Return whether a counter shows the load later than at its next update."""
    return counter.delay_s > _TOLERANCE * period_s


def fit(pieces: Sequence[Piece], bursts: Sequence[Burst], period_s: float) -> Fit:
    """Return the delay and the lag with which the load best explains the readings of a sensor.

    Args:
        pieces: n > 2 pieces of power, in bursts and between them.
        bursts: the loads in time order.
        period_s: period of the sensor; the search uses fractions and multiples of it.

    Raises:
        ValueError: the sensor was updated too rarely, or did not change.
    """
    inside = [p for p in pieces if bursts[0][0] <= p[0] and p[1] <= bursts[-1][1]]
    powers = [watts for _, _, watts in inside]
    if len(powers) < 3 or min(powers) == max(powers):
        raise ValueError(
            f"expected at least 3 different updates of the sensor, found {len(powers)} updates"
        )
    best = Fit(0.0, 0.0, 0.0, 0.0, -1.0)
    for lag_s in (lag * period_s for lag in _LAGS):
        wave = Wave(bursts, lag_s)
        for delay_s in (delay * period_s for delay in _DELAYS):
            shares = [
                (wave.area(b - delay_s) - wave.area(a - delay_s)) / (b - a) for a, b, _ in inside
            ]
            if min(shares) == max(shares):
                continue
            r = statistics.correlation(shares, powers)
            if r > 0 and r**2 > best.explained:
                slope, off_w = statistics.linear_regression(shares, powers)
                best = Fit(delay_s, lag_s, off_w, off_w + slope, r**2)
    return best


def updates_per_step(pieces: Sequence[Piece], bursts: Sequence[Burst]) -> list[int]:
    """Return the number of updates until power has reached 90 % of each step of the load.

    A step is the difference between the last update before the burst and the last update in it. A
    sensor that is exact at its updates needs at most two: one that covers both levels, and the next.
    """
    counts = []
    for on_s, off_s in bursts:
        before = [watts for _, end_s, watts in pieces if end_s <= on_s]
        after = [watts for _, end_s, watts in pieces if on_s < end_s <= off_s]
        if not before or len(after) < 3 or after[-1] <= before[-1]:
            continue
        threshold_w = before[-1] + _REACHED * (after[-1] - before[-1])
        counts.append(1 + next(i for i, watts in enumerate(after) if watts >= threshold_w))
    return counts
