"""A small script with ZeusMonitor, and the same script with EnergyMeter."""

from __future__ import annotations

import difflib


def changed_lines(before: str, after: str) -> list[str]:
    """Return the lines of code that are new in the second of two scripts, without its docstring."""
    first, second = (text.partition('"""\n\n')[2].splitlines() for text in (before, after))
    marks = difflib.ndiff(first, second)
    return [mark[2:] for mark in marks if mark.startswith("+ ")]
