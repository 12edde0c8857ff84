"""Ratios, lists and levels in words. Plain ASCII, because terminals print them too."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

from llem_report.records import Interval
from llem_runner.repeats import interval_text

_MAX_NAMES = 3


def ratio_text(interval: Interval) -> str:
    """Return a ratio with its interval: `1.742 (1.731-1.753)`, or `1.74` without one."""
    if interval.ci95_low is None or interval.ci95_high is None:
        return number(interval.ratio, 2)
    places = _places(interval.ci95_low, interval.ci95_high)
    ends = interval_text(*_ends(interval), functools.partial(number, places=places))
    return f"{number(interval.ratio, places)} ({ends})"


def interval_words(interval: Interval) -> str:
    """Return the ends of an interval for a sentence; nothing where there is none."""
    if interval.ci95_low is None or interval.ci95_high is None:
        return ""
    places = _places(interval.ci95_low, interval.ci95_high)
    plain = functools.partial(number, places=places)
    return f" (95 % interval {interval_text(*_ends(interval), plain, dash=' to ')})"


def number(ratio: float, places: int) -> str:
    """Return a ratio with a number of decimals; large ones have fewer."""
    if ratio >= 1e5:
        return f"{ratio:.2g}"
    digits_before = max(math.floor(math.log10(ratio)), 0) if ratio > 0 else 0
    return f"{ratio:.{max(places - digits_before, 0)}f}"


def percent(share: float) -> str:
    """Return a share as a percentage with two significant digits: 0.0312 as `3.1 %`."""
    text = f"{100 * share:.2g}"
    return f"{100 * share:.0f} %" if "e+" in text else f"{text} %"


def listed(names: Sequence[str]) -> str:
    """Return at least one name as a list in words; many are shortened to a number."""
    if len(names) > _MAX_NAMES:
        names = [*names[: _MAX_NAMES - 1], f"{len(names) - _MAX_NAMES + 1} others"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _ends(interval: Interval) -> tuple[float, float]:
    assert interval.ci95_low is not None
    assert interval.ci95_high is not None
    return interval.ci95_low, interval.ci95_high


def _places(low: float, high: float) -> int:
    """Return how many decimals show the width of an interval with one digit, from 2 to 4."""
    width = high - low
    return 4 if width <= 1e-3 else min(max(math.ceil(-math.log10(width)), 2), 4)


def size_words(noun: str, n_points: int, n_cycles: int, n_runs: int, *, between: str = ", ") -> str:
    """Return how large a study is: `4 points, 6 cycles`, or `4 points, 21 runs in 6 cycles`.

    Args:
        noun: for one of the points.
        n_points: of the study.
        n_cycles: in which any point was planned.
        n_runs: planned ones; not all points are planned in each cycle if points were added later.
        between: points and cycles, if all points are planned in each cycle.
    """
    points = _count(n_points, noun)
    if n_runs == n_points * n_cycles:
        return f"{points}{between}{_count(n_cycles, 'cycle')}"
    return f"{points}, {_count(n_runs, 'run')} in {_count(n_cycles, 'cycle')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
