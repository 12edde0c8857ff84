"""Ratios of two points in words: a difference, and the ends of an interval."""

from __future__ import annotations

from collections.abc import Callable

_MIN_FACTOR = 2.0
MIN_SAID, MAX_SAID = 1e-3, 1e3
"""Beyond these, an end of an interval says only that nothing is known; its digits would not be read."""
_MAX_PLAIN = 1e7


def difference_words(ratio: float) -> str:
    """Return how much more a figure is than another one: `3.1 %`, from twice on `a factor of 124`.

    Args:
        ratio: of the two, 1 or more.
    """
    if ratio < _MIN_FACTOR:
        return f"{_plain(100 * (ratio - 1), 2)} %"
    if ratio > MAX_SAID:
        return "a factor of more than 1,000"
    return f"a factor of {_plain(ratio, 3)}"


def untold_difference(ratio: float, what: str = "points") -> str:
    """Return which differences a study cannot tell, as a sentence.

    Args:
        ratio: of two points that can just be told apart, 1 or more.
        what: the points in words.
    """
    if ratio > MAX_SAID:
        return f"Even two {what} that differ by a factor of 1,000 cannot be told apart."
    return f"Two {what} that differ by less than {difference_words(ratio)} cannot be told apart."


def possible_difference(low: float, high: float, *, is_above: bool) -> str:
    """Return how far a point may be from another one: `at most 3.1 % above it`.

    Args:
        low: end of the interval of the ratio.
        high: the other end.
        is_above: whether the distance above the other point counts, and not that below it.
    """
    ratio = high if is_above else 1 / max(low, 1e-300)
    side = "above it" if is_above else "below it"
    if ratio > MAX_SAID:
        return f"even a factor of 1,000 {side} is possible"
    if is_above or ratio >= _MIN_FACTOR:
        return f"at most {difference_words(ratio)} {side}"
    return f"at most {_plain(100 * (1 - low), 2)} % {side}"


def interval_text(
    low: float, high: float, plain: Callable[[float], str], *, dash: str = "-"
) -> str:
    """Return the ends of an interval of a ratio: `0.98-1.02`, or `<0.001 to >1,000`.

    Args:
        low: end of the interval.
        high: the other end.
        plain: writes an end that is neither very small nor very large.
        dash: between two such ends.
    """
    is_open_below = low < MIN_SAID < high
    is_open_above = low < MAX_SAID < high
    first = "<0.001" if is_open_below else _with_digit(low, plain)
    last = ">1,000" if is_open_above else _with_digit(high, plain)
    return f"{first}{' to ' if is_open_below or is_open_above else dash}{last}"


def _with_digit(value: float, plain: Callable[[float], str]) -> str:
    """Return a number with more decimals if it would be written as 0."""
    text = plain(value)
    return f"{value:.1g}" if value > 0 and not any(digit in text for digit in "123456789") else text


def _plain(value: float, digits: int) -> str:
    """Return a number with some significant digits, without an exponent below 10 million."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and value < _MAX_PLAIN else text
