"""Tails of the chi-square and the beta distribution, and quantiles of chi-square."""

from __future__ import annotations

import math
from functools import lru_cache

_N_STEPS = 200  # even, for Simpson's rule
_N_HALVINGS = 60


def chi_square_above(value: float, df: int) -> float:
    """Return P(X > value) for a chi-square distribution.

    Args:
        value: >= 0.
        df: degrees of freedom, a whole number >= 1.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.4.4 and 26.4.5: finite
    sums for whole degrees of freedom.
    """
    half = value / 2
    if df % 2 == 0:
        total, log_term, first = math.exp(-half), -half, 1.0
    else:
        total = math.erfc(math.sqrt(half))
        log_term = -half - math.lgamma(0.5) - 0.5 * math.log(half) if half > 0 else -math.inf
        first = 0.5
    # Each term is the one before it times half / k; logarithms keep large values from underflowing.
    k = first
    while k <= df / 2 - 1 + 1e-9 and half > 0:
        log_term += math.log(half) - math.log(k)
        total += math.exp(log_term)
        k += 1
    return min(total, 1.0)


@lru_cache(maxsize=1024)
def chi_square_quantile(probability: float, df: int) -> float:
    """Return the value that a chi-square variable with `df` degrees of freedom stays below.

    Args:
        probability: of staying below, 0 < p < 1.
        df: degrees of freedom, a whole number >= 1.
    """
    low, high = 0.0, df + 10 * math.sqrt(2 * df) + 50.0
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        if chi_square_above(middle, df) > 1 - probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def beta_above(share: float, df: int, df_rest: int) -> float:
    """Return P(B > share) for a beta distribution with `df`/2 and `df_rest`/2.

    By Simpson's rule over the angle whose squared sine is the share, where the density is smooth.
    """
    start = math.asin(math.sqrt(share))
    step = (math.pi / 2 - start) / _N_STEPS
    scale = math.lgamma((df + df_rest) / 2) - math.lgamma(df / 2) - math.lgamma(df_rest / 2)
    total = 0.0
    for i in range(_N_STEPS + 1):
        angle = start + i * step
        sine, cosine = math.sin(angle), max(math.cos(angle), 0.0)
        if (sine == 0 and df > 1) or (cosine == 0 and df_rest > 1):
            continue
        log_density = scale
        log_density += (df - 1) * math.log(sine) if df > 1 else 0.0
        log_density += (df_rest - 1) * math.log(cosine) if df_rest > 1 else 0.0
        weight = 1 if i in (0, _N_STEPS) else 4 if i % 2 else 2
        total += weight * math.exp(log_density)
    return 2 * total * step / 3


def f_above(ratio: float, df: int, df_below: int) -> float:
    """Return P(F > ratio) for a ratio of two variances with `df` and `df_below`."""
    return beta_above(df * ratio / (df * ratio + df_below), df, df_below)
