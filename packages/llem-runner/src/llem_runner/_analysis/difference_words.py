"""A difference between two points in words."""

from __future__ import annotations

_MIN_FACTOR = 2.0
_MAX_PLAIN = 1e7


def difference_words(ratio: float) -> str:
    """Return how much more a figure is than another one: `3.1 %`, from twice on `a factor of 124`.

    Args:
        ratio: of the two, 1 or more.
    """
    if ratio < _MIN_FACTOR:
        return f"{_plain(100 * (ratio - 1), 2)} %"
    return f"a factor of {_plain(ratio, 3)}"


def _plain(value: float, digits: int) -> str:
    """Return a number with some significant digits, without an exponent below 10 million."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and value < _MAX_PLAIN else text
