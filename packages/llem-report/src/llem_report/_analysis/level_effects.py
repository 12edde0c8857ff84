"""The levels of a factor beside the best one, and each level in every context."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from llem_report._analysis.study_ranking import StudyRanking
from llem_report._ranking.effects import Pairs
from llem_report.records import Interval, LevelContext, LevelEffect
from llem_runner.repeats import bounded_exp

if TYPE_CHECKING:
    from llem_report._ranking.designs import Floats, Ints


def interval_of(difference: float, half_width: float) -> Interval:
    """Return the ratio of a difference of logarithms; NaN as half-width gives no interval."""
    if math.isnan(half_width):
        return Interval(ratio=bounded_exp(difference))
    return Interval(
        ratio=bounded_exp(difference),
        ci95_low=bounded_exp(difference - half_width),
        ci95_high=bounded_exp(difference + half_width),
    )


def pair_intervals(pairs: Pairs) -> dict[tuple[int, int], Interval]:
    """Return the ratio of every pair of levels that can be compared, in both directions."""
    found = {}
    rows = zip(*(part.tolist() for part in pairs[:4]), strict=True)
    for a, b, difference, half_width in rows:
        found[a, b] = interval_of(difference, half_width)
        found[b, a] = interval_of(-difference, half_width)
    return found


def level_effects(study: StudyRanking, f: int, best: int) -> tuple[LevelEffect, ...]:
    """Return the levels of a factor that can be compared with the best one, in their order."""
    pairs = pair_intervals(study.ranking.pairs[f])
    levels = [
        level
        for level in range(study.design.n_levels(f))
        if level == best or (level, best) in pairs
    ]
    contexts = _contexts(study, f, best, levels)
    column: Ints = study.design.levels[:, f]
    return tuple(
        LevelEffect(
            level=study.design.names[f][level],
            ratio=Interval(ratio=1.0) if level == best else pairs[level, best],
            n_points=int((column == level).sum()),
            contexts=tuple(contexts[level]),
        )
        for level in levels
    )


def _contexts(
    study: StudyRanking, f: int, best: int, levels: list[int]
) -> dict[int, list[LevelContext]]:
    """Return each level in every context with at least two of the levels.

    What its levels have in common is taken out of each context. The rest is how much the effects
    of the levels differ between contexts.
    """
    import numpy as np

    cells, weights = study.ranking.cells[f], study.ranking.levels[f]
    means = study.ranking.fit.means
    in_cell = cells.of_point >= 0
    n_points = np.bincount(cells.of_point[in_cell], minlength=len(cells.level))
    sums = np.bincount(cells.of_point[in_cell], means[in_cell], minlength=len(cells.level))
    effects: Floats = weights.weights @ means
    relative: Floats = sums / n_points - effects[cells.level]
    kept = np.isin(cells.level, levels)
    n_contexts = len(cells.context_levels)
    sizes = np.bincount(cells.context[kept], minlength=n_contexts)
    shifts = np.bincount(cells.context[kept], relative[kept], minlength=n_contexts)
    common = shifts / np.maximum(sizes, 1)
    logs = relative - common[cells.context] + effects[cells.level] - effects[best]
    found: dict[int, list[LevelContext]] = {level: [] for level in levels}
    labels: dict[int, str] = {}
    for cell in np.flatnonzero(kept & (sizes[cells.context] > 1)).tolist():
        context = int(cells.context[cell])
        if context not in labels:
            labels[context] = _label(study, cells.context_levels[context].tolist())
        each = LevelContext(context=labels[context], ratio=bounded_exp(float(logs[cell])))
        found[int(cells.level[cell])].append(each)
    return found


def _label(study: StudyRanking, levels: list[int]) -> str:
    design = study.design
    return " ".join(
        f"{design.keys[k]}={design.names[k][level]}" for k, level in enumerate(levels) if level >= 0
    )
