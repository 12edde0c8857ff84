"""The attributes of the drawings on the page: paths and widths, all from numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, pairwise

from llem_report._watch.power_trace import SPAN_S, TracePoint

WIDTH, HEIGHT = 600, 120
"""Of the drawing of the power, in units of its view box."""
_MAX_HOLE_S = 4.0  # a longer one is not bridged by a line


def top_of(powers_w: Sequence[float]) -> float:
    """Return a round number that is at least the largest value."""
    largest = max(powers_w, default=0.0)
    if largest <= 0:
        return 1.0
    scale = 10.0 ** math.floor(math.log10(largest))
    steps = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
    return next(step * scale for step in steps if step * scale >= largest * (1 - 1e-9))


def line(trace: Sequence[TracePoint], top_w: float) -> str:
    """Return the path of the power; it is broken where there was no reading, and between runs."""
    parts: list[str] = []
    previous: TracePoint | None = None
    for point in trace:
        is_joined = (
            previous is not None
            and previous.run == point.run
            and previous.age_s - point.age_s <= _MAX_HOLE_S
        )
        x, y = _x(point.age_s), HEIGHT - HEIGHT * point.power_w / top_w
        parts.append(f"{'L' if is_joined else 'M'}{x:.1f} {y:.1f}")
        if not is_joined:
            parts.append("h0")  # so that a single reading is seen
        previous = point
    return "".join(parts)


def windows(trace: Sequence[TracePoint]) -> str:
    """Return the path of the times in which a measured window was open."""
    parts = []
    for (_, stage), group in groupby(trace, key=lambda point: (point.run, point.stage)):
        points = list(group)
        if stage == "window":
            left, right = _x(points[0].age_s), _x(points[-1].age_s)
            parts.append(f"M{left:.1f} 0H{max(right, left + 1):.1f}V{HEIGHT}H{left:.1f}Z")
    return "".join(parts)


def bar(counts: Sequence[int], width: int = 1000) -> list[tuple[float, float]]:
    """Return the left end and the width of each part of a bar."""
    total = sum(counts)
    ends = [0.0]
    for count in counts:
        ends.append(ends[-1] + (width * count / total if total else 0.0))
    return [(round(left, 2), round(right - left, 2)) for left, right in pairwise(ends)]


def _x(age_s: float) -> float:
    return WIDTH * (1 - min(age_s, SPAN_S) / SPAN_S)
