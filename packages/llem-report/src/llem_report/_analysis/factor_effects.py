"""How much each factor matters, and why that cannot be told of some."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from llem_report._analysis.level_effects import interval_of, level_effects, pair_intervals
from llem_report._analysis.study_ranking import StudyRanking
from llem_report._analysis.wording import listed
from llem_report._ranking.designs import determined_by
from llem_report._ranking.effects import Range
from llem_report._ranking.shares import Shares, in_range
from llem_report._study_data.study_data import StudyData
from llem_report.records import FactorEffect, Interval, LevelPair, Verdict


def factor_effects(data: StudyData, study: StudyRanking) -> tuple[FactorEffect, ...]:
    """Return the effects of the factors, the largest first; those that cannot be told come last."""
    effects = [_factor_effect(data, study, f) for f in range(len(data.factors))]
    ratios = [0.0 if each.effect is None else each.effect.ratio for each in effects]
    order = sorted(range(len(effects)), key=lambda f: -ratios[f])
    return tuple(effects[f] for f in order)


def level_pairs(study: StudyRanking) -> Iterator[LevelPair]:
    """Yield every pair of levels that can be compared, factor by factor."""
    for f, pairs in enumerate(study.ranking.pairs):
        names = study.design.names[f]
        rows = zip(*(part.tolist() for part in pairs), strict=True)
        for a, b, difference, half_width, n_contexts, n_points in rows:
            yield LevelPair(
                factor=study.design.keys[f],
                a=names[a],
                b=names[b],
                ratio=interval_of(difference, half_width),
                n_contexts=n_contexts,
                n_points=n_points,
            )


def _factor_effect(data: StudyData, study: StudyRanking, f: int) -> FactorEffect:
    factor, found = data.factors[f], study.ranking.ranges[f]
    ranks, shares = study.ranking.ranks[f], study.ranking.shares
    if found is None:
        return FactorEffect(
            key=factor.key,
            numeric=factor.numeric,
            verdict="cannot_be_told",
            effect=None,
            best=None,
            worst=None,
            rank_low=None,
            rank_high=None,
            share=None,
            levels=(),
            reason=_why_not(study, f),
        )
    best, worst = found.lowest_level, found.highest_level
    if not data.figure.lower_is_better:
        best, worst = worst, best
    names = study.design.names[f]
    return FactorEffect(
        key=factor.key,
        numeric=factor.numeric,
        verdict=_verdict(found),
        effect=_effect(found),
        best=names[best],
        worst=names[worst],
        rank_low=None if ranks is None else ranks[0],
        rank_high=None if ranks is None else ranks[1],
        share=in_range(shares.factors[f]) if isinstance(shares, Shares) else None,
        levels=level_effects(study, f, best),
        note="; ".join(_notes(data, study, f, best)) or None,
        reason=study.reason,
    )


def _effect(found: Range) -> Interval:
    if math.isnan(found.high):
        return interval_of(found.log_ratio, math.nan)
    low, high = interval_of(found.low, math.nan), interval_of(found.high, math.nan)
    ratio = interval_of(found.log_ratio, math.nan).ratio
    return Interval(ratio=ratio, ci95_low=low.ratio, ci95_high=high.ratio)


def _verdict(found: Range) -> Verdict:
    if math.isnan(found.low):
        return "cannot_be_told"
    return "matters" if found.low > 0 else "no_effect_found"


def _why_not(study: StudyRanking, f: int) -> str:
    """Return why no two levels of a factor can be compared."""
    design = study.design
    key, column = design.keys[f], design.levels[:, f]
    measured = sorted({level for level in column.tolist() if level >= 0})
    if len(measured) < 2:
        name = f"only {design.names[f][measured[0]]}" if measured else "no level"
        return f"{name} of {key} was measured"
    nested = study.ranking.nested
    others = [g for g in determined_by(design, f) if not nested[g, f] and not nested[f, g]]
    if others:
        return f"{key} always changes together with {listed([design.keys[g] for g in others])}"
    names = listed([design.names[f][level] for level in measured])
    return f"no two points differ in {key} alone, between {names}"


def _notes(data: StudyData, study: StudyRanking, f: int, best: int) -> Iterator[str]:
    design, levels = study.design, study.ranking.levels[f]
    column = design.levels[:, f].tolist()
    names = design.names[f]
    measured = sorted({level for level in column if level >= 0})
    missing = [name for level, name in enumerate(names) if level not in measured]
    apart = [names[level] for level in measured if levels.group[level] != levels.group[best]]
    if data.factors[f].numeric:
        yield from _trend(
            data, study, f, [level for level in measured if names[level] not in apart]
        )
    if missing:
        yield f"no run at {listed(missing)}"
    if apart:
        yield (
            f"cannot be told of {listed(apart)}: no two points differ in {design.keys[f]} alone "
            f"between there and {names[best]}"
        )
    inner = [design.keys[g] for g in range(len(design.keys)) if study.ranking.nested[g, f]]
    if inner:
        noun = "which exists" if len(inner) == 1 else "which exist"
        yield f"averaged over the levels of {listed(inner)}, {noun} at some levels only"


def _trend(data: StudyData, study: StudyRanking, f: int, levels: list[int]) -> Iterator[str]:
    """Yield how a figure goes with the numbers of a factor, as far as the intervals show it."""
    if len(levels) < 3 or study.ranking.errors is None:
        return
    pairs = pair_intervals(study.ranking.pairs[f])

    def certain(a: int, b: int) -> int:
        """Return 1 if the figure rises from a to b for certain, -1 if it falls, else 0."""
        step = pairs[b, a]
        assert step.ci95_low is not None
        assert step.ci95_high is not None
        return 1 if step.ci95_low > 1 else -1 if step.ci95_high < 1 else 0

    steps = {certain(a, b) for a, b in pairwise(levels)}
    if len(steps) == 1 and 0 not in steps:
        yield "rises at every step" if steps == {1} else "falls at every step"
        return
    sign = 1 if data.figure.lower_is_better else -1
    for middle in levels[1:-1]:
        to_ends = {certain(middle, levels[0]), certain(middle, levels[-1])}
        others = [level for level in levels if level != middle]
        if to_ends == {sign} and all(sign * (pairs[o, middle].ratio - 1) > 0 for o in others):
            yield f"best in between, at {study.design.names[f][middle]}"
