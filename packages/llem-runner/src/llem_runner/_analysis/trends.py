"""Whether the figures of a study changed with time, and with the place of a run in its cycle."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from llem_runner._analysis.quantiles import t_quantile
from llem_runner._analysis.spreads import squares_of_residuals

_ROUNDING = 1e-12  # logarithms that differ by less differ only by rounding
_MIN_BLOCKS = 3
Table = Sequence[Sequence[float]]


class Slope(msgspec.Struct, frozen=True):
    """The change of a figure from the first run to the last, as a logarithm."""

    change: float
    half_width: float
    """Of the 95 % confidence interval."""

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes no change."""
        return abs(self.change) > self.half_width


def drift(logs: Table, times: Table) -> Slope | None:
    """Return how much all points together changed from the first run of a study to the last.

    A straight line over time, the same for all points. Its error is the spread of the runs once
    point and cycle effects are removed, so a drift shows from three cycles on; the cycles alone, of
    which three or five lie on a line by chance, would not show it.

    Args:
        logs: one row per block, with the logarithm of the figure of every point.
        times: when the same runs started, in seconds.

    Returns:
        None for fewer than 3 blocks or 2 points, or if all runs started at the same time.
    """
    n_blocks = len(logs)
    if n_blocks < _MIN_BLOCKS or len(logs[0]) < 2:
        return None
    values, places = _less_points(logs), _less_points(times)
    squared = _dot(places, places)
    if squared <= 0:
        return None
    n_points = len(logs[0])
    df = (n_points - 1) * (n_blocks - 1)
    variance = math.fsum(squares_of_residuals(logs, range(n_points))) / df
    span = max(map(max, times)) - min(map(min, times))
    error = max(math.sqrt(variance), _ROUNDING) / math.sqrt(squared)
    return Slope(_dot(values, places) / squared * span, t_quantile(0.975, df) * error * span)


def position_effects(logs: Table, positions: Table) -> tuple[Slope | None, Slope | None]:
    """Return how runs depend on their place in the cycle, once point and cycle are removed.

    Args:
        logs: one row per block, with the logarithm of the figure of every point.
        positions: the place of the same runs in their cycle, from 0.

    Returns:
        The change from the first place to the last on a straight line, and the distance of the first
        run of a cycle from the others. Each at 97.5 %, so one in twenty studies has a clear one by
        chance. None if there are too few runs, or if every cycle has the same order.
    """
    line = _effect(logs, positions)
    first = _effect(logs, [[float(place == 0) for place in row] for row in positions])
    if line is not None:
        n_steps = len(logs[0]) - 1
        line = Slope(line.change * n_steps, line.half_width * n_steps)
    return line, first


def _effect(logs: Table, places: Table) -> Slope | None:
    """Return the change of the figure per unit of `places`, within cycles and points."""
    n_blocks, n_points = len(logs), len(logs[0])
    df = (n_points - 1) * (n_blocks - 1) - 1
    values, units = _less_blocks(_less_points(logs)), _less_blocks(_less_points(places))
    squared = _dot(units, units)
    if df < 1 or squared <= _ROUNDING:
        return None
    slope = _dot(values, units) / squared
    variance = max(_dot(values, values) - slope**2 * squared, 0.0) / df
    error = max(math.sqrt(variance), _ROUNDING) / math.sqrt(squared)
    return Slope(slope, t_quantile(1 - 0.0125, df) * error)


def _less_points(table: Table) -> list[list[float]]:
    means = [math.fsum(column) / len(table) for column in zip(*table, strict=True)]
    return [[value - mean for value, mean in zip(row, means, strict=True)] for row in table]


def _less_blocks(table: Table) -> list[list[float]]:
    return [[value - math.fsum(row) / len(row) for value in row] for row in table]


def _dot(a: Table, b: Table) -> float:
    return math.fsum(x * y for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True))
