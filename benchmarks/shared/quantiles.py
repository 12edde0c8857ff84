"""A percentile of measured values, and the interval of their median."""

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
