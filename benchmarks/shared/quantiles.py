"""A percentile of measured values, the interval of their median, and that of a share."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value such that at least this share of all values is not larger."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and its 95 % interval by the sign test, for any distribution."""
    ordered = sorted(values)
    middle, spread = len(ordered) // 2, round(0.98 * len(ordered) ** 0.5)
    low, high = max(0, middle - spread), min(len(ordered) - 1, middle + spread)
    return statistics.median(ordered), ordered[low], ordered[high]


def share_interval(n: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, 0 to 1, of which `n` of `of` > 0 cases were seen.

    Source: the interval of Wilson, which also holds if there are no or few cases.
    """
    z = 1.96
    middle = (n + z**2 / 2) / (of + z**2)
    half = z / (of + z**2) * math.sqrt(n * (of - n) / of + z**2 / 4)
    return max(0.0, middle - half), min(1.0, middle + half)
