"""Warnings that differ only in their numbers, as one line with the range of each number."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from llem_cli._display.console import count

_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def warning_lines(n_runs: Mapping[str, int]) -> Iterator[str]:
    """Yield the warnings, the most frequent first.

    Args:
        n_runs: number of runs by warning.
    """
    similar: dict[str, dict[str, int]] = {}
    for warning, n in n_runs.items():
        similar.setdefault(_NUMBER.sub("#", warning), {})[warning] = n
    for group in sorted(similar.values(), key=lambda group: -sum(group.values())):
        n = sum(group.values())
        # A run can have several of them, such as one for each GPU.
        times = count(n, "run") if len(group) == 1 else f"{n} times"
        yield f"warning ({times}): {_with_ranges(list(group))}"


def _with_ranges(warnings: Sequence[str]) -> str:
    """Return a warning with the range of each number that is not the same in all of them."""
    columns = zip(*map(_NUMBER.findall, warnings), strict=True)
    ranges = [
        min(numbers, key=float)
        if len(set(numbers)) == 1
        else f"{min(numbers, key=float)} to {max(numbers, key=float)}"
        for numbers in columns
    ]
    texts = _NUMBER.split(warnings[0])
    return texts[0] + "".join(
        number + text for number, text in zip(ranges, texts[1:], strict=True)
    )  # fmt: skip
