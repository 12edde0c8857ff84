"""Quantiles of Student's t and of the studentised range, so that nothing here needs scipy.

Both are found by bisection on a distribution that is computed exactly (t) or by a quadrature that
agrees with printed tables in every digit they have (range).
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

_HALVINGS = 60  # of an interval below 2: down to the last bit of a double


@lru_cache(maxsize=4096)
def t_quantile(probability: float, df: int) -> float:
    """Return the value that Student's t stays below with this probability.

    Args:
        probability: 0.5 <= p < 1; 0.975 for a two-sided 95 % interval.
        df: whole degrees of freedom, n >= 1.
    """
    # t = tan(angle) * sqrt(df): the whole line in a bounded interval, so no bracket is looked for.
    low, high = 0.0, math.pi / 2
    wanted = 2 * probability - 1
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _t_inside(middle, df) < wanted:
            low = middle
        else:
            high = middle
    return math.tan(low) * math.sqrt(df)


def _t_inside(angle: float, df: int) -> float:
    """Return P(|t| <= tan(angle) sqrt(df)).

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4, finite
    sums for whole degrees of freedom.
    """
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = df % 2 == 1
    if df == 1:
        return 2 / math.pi * angle
    total = term = cosine if odd else 1.0
    for power in range(3 if odd else 2, df - 1, 2):
        term *= cosine * cosine * (power - 1) / power
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


@cache
def range_quantile(probability: float, n_groups: int, df: int) -> float:
    """Return the value that the studentised range stays below with this probability.

    The range is that of `n_groups` >= 2 independent means, over the standard error of one mean
    which is estimated with `df` >= 1 degrees of freedom. Takes about 0.1 s the first time.
    """
    # Two groups are the least, and Bonferroni's bound over all pairs the most, that it can be.
    n_pairs = n_groups * (n_groups - 1) // 2
    low = math.sqrt(2) * t_quantile((1 + probability) / 2, df)
    high = math.sqrt(2) * t_quantile(1 - (1 - probability) / (2 * n_pairs), df)
    if n_groups == 2:
        return low
    for _ in range(30):
        middle = (low + high) / 2
        if _range_below(middle, n_groups, df) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _range_below(value: float, n_groups: int, df: int) -> float:
    """Return P(studentised range <= value): the range of normals, averaged over the estimate.

    The trapezoid rule converges faster than any power here, since both integrands are smooth and
    vanish at both ends. The estimate s of the standard error runs over its logarithm.
    """
    lowest, highest = -max(36 / (df + 1), 6 / math.sqrt(df)), min(2.3, 6 / math.sqrt(df))
    step = (highest - lowest) / 100
    scale = math.log(2) + df / 2 * math.log(df / 2) - math.lgamma(df / 2)
    total = 0.0
    for i in range(101):
        log_s = lowest + i * step
        density = math.exp(scale + df * log_s - df / 2 * math.exp(2 * log_s))
        if density > 1e-12:
            total += density * _normal_range_below(value * math.exp(log_s), n_groups)
    return total * step


_Z_STEP = 0.2
_Z = tuple(_Z_STEP * i for i in range(-40, 41))
_DENSITY = tuple(math.exp(-z * z / 2) / math.sqrt(2 * math.pi) for z in _Z)


def _normal_range_below(width: float, n_groups: int) -> float:
    """Return P(largest - smallest of n standard normals <= width)."""
    return (n_groups * _Z_STEP) * sum(
        density * (_normal_below(z) - _normal_below(z - width)) ** (n_groups - 1)
        for z, density in zip(_Z, _DENSITY, strict=True)
    )


def _normal_below(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2
