"""Shares of time at each point, and whether the points differ in them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator

from llem_report._study_data.derived_figures import POWER_LIMITED
from llem_report._study_data.study_data import StudyRun

_ALIKE = 0.05
"""Points whose shares are this close are alike: the driver updates its counters with a delay."""


def mean_shares(runs: Iterable[StudyRun], name: str) -> dict[int, float]:
    """Return the arithmetic mean of a share at each point that has it, by `StudyRun.point`.

    A share can be 0, so it has no geometric mean.
    """
    shares: dict[int, list[float]] = defaultdict(list)
    for run in runs:
        if run.facts is not None and name in run.facts.shares:
            shares[run.point].append(run.facts.shares[name])
    return {point: statistics.fmean(values) for point, values in shares.items()}


def power_limit_caveat(runs: Iterable[StudyRun]) -> Iterator[str]:
    """Yield that the power limit slowed some points down more than others, if it did."""
    means = mean_shares(runs, POWER_LIMITED).values()
    if means and max(means) - min(means) > _ALIKE:
        yield (
            f"the points were at the power limit for {100 * min(means):.0f} % to "
            f"{100 * max(means):.0f} % of the time: it slowed some down more than others, so their "
            "ratios hold at this limit only"
        )
