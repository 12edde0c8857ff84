"""A straight line through points by ordinary least squares, with standard errors; arithmetic only."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

_OUTLIER_SDS, _FEW = 5.0, 12.0
"""Residuals beyond 5 x (1 + 12 / n) standard deviations are outliers. With few points, their standard
deviation is uncertain; without the second factor the intervals would be too narrow."""
_MAD_TO_SD = 1.4826
_MAX_PAIRS_OF = 300  # points; more are thinned for the first, robust line


class Line(NamedTuple):
    """y = slope x + offset, fitted to n points."""

    slope: float
    slope_se: float
    offset: float
    offset_se: float
    residual_sd: float
    """With n - 2 degrees of freedom."""
    kept: tuple[int, ...]
    """Indices of the points that are no outliers."""

    def interval(self) -> float:
        """Return half of the 95 % interval of the slope."""
        return t_quantile(len(self.kept) - 2) * self.slope_se


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """Fit a line by least squares to all points that are no outliers.

    Outliers are found by their distance from a line that they cannot move: its slope is the median
    of the slopes of all pairs (Theil and Sen), its offset the median of the rest.

    Args:
        xs: n >= 4 values, not all equal.
        ys: a value for each.
    """
    kept = _without_outliers(xs, ys)
    x, y = [xs[i] for i in kept], [ys[i] for i in kept]
    n, x_mean, y_mean = len(kept), statistics.fmean(x), statistics.fmean(y)
    sxx = sum((each - x_mean) ** 2 for each in x)
    slope = sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True)) / sxx
    offset = y_mean - slope * x_mean
    squares = sum((b - slope * a - offset) ** 2 for a, b in zip(x, y, strict=True))
    sd = math.sqrt(squares / (n - 2))
    return Line(
        slope=slope,
        slope_se=sd / math.sqrt(sxx),
        offset=offset,
        offset_se=sd * math.sqrt(1 / n + x_mean**2 / sxx),
        residual_sd=sd,
        kept=tuple(kept),
    )


def t_quantile(n_free: int) -> float:
    """Return the 97.5 % quantile of Student's t, within 0.5 % from 4 degrees of freedom on.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    z = statistics.NormalDist().inv_cdf(0.975)
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + g1 / n_free + g2 / n_free**2 + g3 / n_free**3


def _without_outliers(xs: Sequence[float], ys: Sequence[float]) -> list[int]:
    """Return the indices of the points near the robust line; at least half of them are."""
    thinned = range(0, len(xs), 1 + len(xs) // _MAX_PAIRS_OF)
    slopes = [
        (ys[j] - ys[i]) / (xs[j] - xs[i]) for i, j in combinations(thinned, 2) if xs[i] != xs[j]
    ]
    slope = statistics.median(slopes)
    rest = [y - slope * x for x, y in zip(xs, ys, strict=True)]
    middle = statistics.median(rest)
    distances = [abs(each - middle) for each in rest]
    # Without noise, rounding errors must not make outliers.
    floor = 1e-6 * max(map(abs, ys))
    limit = (
        _OUTLIER_SDS * (1 + _FEW / len(xs)) * max(_MAD_TO_SD * statistics.median(distances), floor)
    )
    return [i for i, distance in enumerate(distances) if distance <= limit]
