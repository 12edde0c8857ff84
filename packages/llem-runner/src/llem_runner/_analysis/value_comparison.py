"""Compare the points of a study by any figure, with the rules and intervals of its comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from llem_runner._analysis.common_blocks import (
    Fit,
    best_first,
    common_blocks,
    fit_points,
    several_meters,
    why_not_compared,
)
from llem_runner._analysis.looks import alpha_after
from llem_runner._analysis.statistics import bounded_exp
from llem_runner._storage.manifest import ManifestEntry


class RatioInterval(NamedTuple):
    """A ratio with its 95 % interval."""

    ratio: float
    low: float
    high: float


class ComparedValues(NamedTuple):
    """The points of a study beside the best one, by one figure."""

    best: str
    """Hash of the best point."""
    ratios: Mapping[str, RatioInterval]
    """By hash, the figure of every other compared point over that of the best one; the intervals
    hold together for all pairs of points."""
    runs: frozenset[int]
    """Indices of the compared runs."""
    detectable_ratio: float
    """As in `Comparisons`."""
    points: tuple[str, ...]
    """Hashes of the compared points."""
    fit: Fit
    """Of these."""

    def half_width(self, a: str, b: str) -> float:
        """Return the half-width of the interval of two compared points, of logarithms.

        It holds together with those of all other pairs.
        """
        return self.fit.half_width(self.points.index(a), self.points.index(b))


def compare_values(
    entries: Sequence[ManifestEntry],
    values: Mapping[int, float],
    cycle_order: str,
    *,
    looks: Sequence[int] = (),
    lower_is_better: bool = True,
    sources: Mapping[int, str | None] | None = None,
) -> ComparedValues | None:
    """Return the points beside the best one, or None if they cannot be compared.

    With the headline figure, these are the ratios and intervals of `study_result.json`.

    Args:
        entries: every planned run of the study.
        values: by index, the figure of each run with a positive one, on the kind of machine of most.
        cycle_order: the order in which the study ran its points.
        looks: number of cycles at each earlier result after which cycles were added.
        lower_is_better: whether the best point has the lowest figure.
        sources: by index, the energy source of each run; None if the figure is no energy.
    """
    points, _, _, blocks = common_blocks(entries, values.keys())
    if why_not_compared(points, blocks, cycle_order, "the figure") or several_meters(
        blocks, sources or {}
    ):
        return None
    fit = fit_points(points, blocks, values, alpha_after(looks))
    best, *others = best_first(fit, lower_is_better=lower_is_better)
    ratios = {}
    for i in others:
        difference, half = fit.means[i] - fit.means[best], fit.half_width(i, best)
        ratios[points[i]] = RatioInterval(
            bounded_exp(difference), bounded_exp(difference - half), bounded_exp(difference + half)
        )
    return ComparedValues(
        best=points[best],
        ratios=ratios,
        runs=frozenset(index for runs in blocks.values() for index in runs.values()),
        detectable_ratio=bounded_exp(fit.usual_half_width),
        points=points,
        fit=fit,
    )
