"""Which points of a study have the same spread, so that one spread can describe them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llem_runner._analysis.distributions import beta_above, chi_square_above

_SIGNIFICANCE = 0.2  # rather treat a point as different than pool a wrong spread
_MIN_SHARE = 1e-12  # of the mean square: equal values have a logarithm of the variance too
_ROUNDING = 1e-24  # squares of logarithms that are smaller are only rounding
_TIE = 1 - 1e-9  # sums of squares that are closer than this to the largest differ only by rounding


def squares_of_residuals(logs: Sequence[Sequence[float]], points: Sequence[int]) -> list[float]:
    """Return, for each point, the sum of squares that point and block effects do not explain.

    Args:
        logs: one row per block, with the logarithm of the figure of every point.
        points: positions of the points to describe; the others have no influence.
    """
    rows = [[row[i] for i in points] for row in logs]
    means = [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]
    overall = math.fsum(means) / len(means)
    sums = [0.0] * len(points)
    for row in rows:
        shift = math.fsum(row) / len(row) - overall
        for i, (value, mean) in enumerate(zip(row, means, strict=True)):
            sums[i] += (value - mean - shift) ** 2
    return sums


def groups_of_like_spread(logs: Sequence[Sequence[float]]) -> list[list[int]]:
    """Return the positions of the points, grouped by spread, the group that spreads least first.

    The point with the largest spread leaves the first group as long as its spread, or all spreads
    together, differ by more than chance explains. The points that left are grouped likewise, so
    the last group may have a single point.

    Args:
        logs: n >= 2 rows, one per block, with the logarithm of the figure of n >= 2 points.
    """
    groups = []
    points = list(range(len(logs[0])))
    while points:
        group = _like_spread(logs, points)
        groups.append(group)
        grouped = set(group)
        points = [point for point in points if point not in grouped]
    return groups


def _like_spread(logs: Sequence[Sequence[float]], points: Sequence[int]) -> list[int]:
    """Return the points that have the same spread, at least two of them if there are two."""
    points = list(points)
    df = len(logs) - 1
    while len(points) > 2:
        squares = squares_of_residuals(logs, points)
        if are_alike(squares, df):
            break
        # Of several with the largest spread always the first, however their sums were rounded.
        largest = max(squares)
        del points[next(i for i, square in enumerate(squares) if square >= largest * _TIE)]
    return points


def are_alike(squares: Sequence[float], df: int, significance: float = _SIGNIFICANCE) -> bool:
    """Return whether chance explains how the sums of squares of n >= 3 points differ.

    Two tests: the share of the largest sum, which finds a single point that spreads more,
    and the logarithms of all, which find several that would hide each other.

    Sources: Cochran, The distribution of the largest of a set of estimated variances as a fraction of
    their total, Annals of Eugenics 11 (1941), for residuals of a block model: the share of a point,
    times K/(K-1), has a beta distribution with (B-1)/2 and (K-2)(B-1)/2, for K points and B blocks;
    Bartlett, Properties of sufficiency and statistical tests, Proceedings of the Royal Society A 160
    (1937).
    """
    n = len(squares)
    mean = math.fsum(squares) / n
    if mean <= _ROUNDING:
        return True
    share = min(1.0, max(squares) / math.fsum(squares) * n / (n - 1))
    if beta_above(share, df, (n - 2) * df) < significance / n:
        return False
    logs = math.fsum(math.log(max(square / mean, _MIN_SHARE)) for square in squares)
    correction = 1 + (n / df - 1 / (n * df)) / (3 * (n - 1))
    # Rounding can make the sum of the logarithms of equal squares positive.
    return chi_square_above(max(0.0, -df * logs / correction), n - 1) >= significance
