"""Ticks of logarithmic axes, and numbers as text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from llem_config.text import visible
from llem_runner.repeats import interval_text

_STEPS = (
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 2.0, 5.0),
    (1.0, 3.0),
    (1.0,),
)
"""Ticks in each decade, the densest first."""
_MIN_TICKS = 3
_TOP = 0.06
_NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
_THOUSANDS = re.compile(r"(?<=\d)\\u202f(?=\d{3})")
"""The space of our numbers, as `visible` shows it."""
MINUS = "\N{MINUS SIGN}"
_MIN_PLAIN, _MAX_PLAIN = 1e-3, 1e6
"""Of ratios that are written without an exponent."""
_MIN_NUMBER, _MAX_NUMBER = 1e-6, 1e12
"""Of numbers that are written without an exponent."""


@dataclass(frozen=True, slots=True)
class LogAxis:
    """A logarithmic axis: where it begins and ends, and its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @property
    def domain(self) -> list[float]:
        """Return the ends as Vega-Lite takes them."""
        return [self.low, self.high]


def log_axis(
    values: Iterable[float | None],
    *,
    max_ticks: int = 6,
    padding: float = 0.04,
    start: float | None = None,
) -> LogAxis:
    """Return an axis that holds all values.

    Args:
        values: above 0; None is left out.
        max_ticks: fewer are drawn if round numbers are rare.
        padding: space beyond the values, as a share of the length of the axis.
        start: the beginning of the axis; by default a little below the smallest value.
    """
    present = [value for value in values if value is not None and value > 0]
    low, high = (min(present), max(present)) if present else (1.0, 1.0)
    low = low if start is None else min(low, start)
    # Values that are all but equal would fill the axis with noise of the arithmetic.
    span = max(math.log(high / low), 0.01)
    bottom = low * math.exp(-padding * span) if start is None else start
    top = low * math.exp(span * (1 + padding))
    ticks = log_ticks(bottom, top, max_ticks=max_ticks)
    # The label of a tick at the very top would reach into a title.
    if len(ticks) > _MIN_TICKS and math.log(top / ticks[-1]) < _TOP * math.log(top / bottom):
        ticks = ticks[:-1]
    return LogAxis(bottom, top, ticks)


def log_ticks(low: float, high: float, *, max_ticks: int = 6) -> tuple[float, ...]:
    """Return round numbers between two values, both above 0, for a logarithmic axis."""
    for steps in _STEPS:
        decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [float(f"{tick:.12g}") for tick in ticks if low <= tick <= high]
        if min(4, max_ticks) <= len(ticks) <= max_ticks:
            return tuple(ticks)
        if len(ticks) < 4:
            return linear_ticks(low, high, max_ticks=max_ticks)
    return tuple(ticks[:: math.ceil(len(ticks) / max_ticks)])


def linear_ticks(low: float, high: float, *, max_ticks: int = 6) -> tuple[float, ...]:
    """Return multiples of 1, 2, 2.5 or 5 times a power of 10 from `low` to `high`."""
    span = high - low
    if span <= 0:
        return (low,)
    magnitude = 10.0 ** math.floor(math.log10(span / max_ticks))
    for factor in (1.0, 2.0, 2.5, 5.0, 10.0, 20.0):
        step = factor * magnitude
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= max_ticks:
            return tuple(float(f"{number * step:.12g}") for number in range(first, last + 1))
    return (low,)


def visible_text(text: str) -> str:
    """Return a text with an escape for each character that is not seen, as `visible`.

    The narrow space in numbers such as `1 200` stays.
    """
    return _THOUSANDS.sub(_NARROW_SPACE, visible(text))


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` significant digits, such as `1 230` or `0.0412`."""
    if value is None:
        return "\N{EN DASH}"
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "\N{INFINITY}"
    if not _MIN_NUMBER <= abs(value) < _MAX_NUMBER:
        return f"{MINUS if value < 0 else ''}{abs(value):.{digits - 1}e}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{abs(value):,.{places}f}".replace(",", _NARROW_SPACE)
    return (MINUS if value < 0 else "") + text


def ratio(value: float | None) -> str:
    """Return a ratio such as `1.23`, after a sign of times."""
    return number(value) if value is None else _times(value, _places(value))


def ratio_with_interval(value: float, low: float | None, high: float | None) -> str:
    """Return a ratio with its interval, such as `1.74 (1.73-1.75)`, after a sign of times."""
    if low is None or high is None:
        return ratio(value)
    # More places where the interval is narrow, so that its ends differ.
    places = max(_places(value), min(4, math.ceil(-math.log10(max(high - low, 1e-4)))))
    places = min(places, 3) if value < 10 else _places(value)
    ends = interval_text(low, high, lambda end: f"{end:.{places}f}", dash="\N{EN DASH}")
    return f"{_times(value, places)} ({ends})"


def _times(value: float, places: int) -> str:
    text = f"{value:.{places}f}" if value < _MAX_PLAIN else f"{value:.3g}"
    shown = "<0.001" if 0 < value < _MIN_PLAIN else text
    return f"\N{MULTIPLICATION SIGN}{shown}"


def _places(value: float) -> int:
    return 2 if value < 10 else 1 if value < 100 else 0


def percent(share: float | None) -> str:
    """Return a share as a percentage; below 1 % with one decimal."""
    if share is None:
        return "\N{EN DASH}"
    value = 100 * max(share, 0.0)
    return f"{value:.1f} %" if value < 1 else f"{value:.0f} %"


def tick_labels(prefix: str = "") -> str:
    """Return an expression of Vega that labels the ticks of an axis with readable numbers."""
    text = "format(datum.value, ',.4~r')"
    return f"'{prefix}' + {text}" if prefix else text
