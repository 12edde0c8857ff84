"""Warnings that differ only in their numbers, as one line with the range of each number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llem_cli._display.console import count
from llem_config.text import similar


def warning_lines(n_runs: Mapping[str, int]) -> Iterator[str]:
    """Yield the warnings, the most frequent first.

    Args:
        n_runs: number of runs by warning.
    """
    for warning, n, is_merged in similar(n_runs):
        # A run can have several of them, such as one for each GPU.
        times = f"{n} times" if is_merged else count(n, "run")
        yield f"warning ({times}): {warning}"
