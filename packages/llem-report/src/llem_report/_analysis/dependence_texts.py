"""Choices that depend on another choice, as ratios and as sentences."""

from __future__ import annotations

from collections.abc import Iterator

from llem_report._analysis.level_effects import interval_of
from llem_report._analysis.study_ranking import StudyRanking
from llem_report._analysis.wording import number, percent, ratio_text
from llem_report._ranking.dependences import LevelDependence
from llem_report._study_data.study_data import StudyData
from llem_report.records import Dependence, Interval
from llem_runner.repeats import MAX_SAID


def dependences(data: StudyData, study: StudyRanking) -> Iterator[Dependence]:
    """Yield the pairs of levels whose ratio depends on another factor, flips first."""
    for each in study.ranking.dependences.listed:
        yield _dependence(data, study, each)


def why_no_flips(study: StudyRanking) -> str | None:
    """Return how large a crossing would have been seen; None if a flip was found."""
    found = study.ranking.dependences
    if any(each.flips for each in found.listed):
        return None
    if study.ranking.errors is None:
        return "whether a choice depends on another one cannot be told without intervals"
    if found.median_half_width is None:
        return "no two choices were combined, so no choice can depend on another one"
    seen = interval_of(4 * found.median_half_width, float("nan")).ratio - 1
    if seen > MAX_SAID:
        return "no choice was found to flip with another one; even a crossing of x 1,000 would not be seen"
    size = percent(seen) if seen < 1 else f"x {number(1 + seen, 1)}"
    return (
        "no choice was found to flip with another one; a crossing of less than about "
        f"{size} would not be seen"
    )


def _dependence(data: StudyData, study: StudyRanking, found: LevelDependence) -> Dependence:
    design = study.design
    names, others = design.names[found.factor], design.names[found.other]
    # The later level over the earlier one: `true` over `false`, 64 over 1.
    ratios = tuple(
        interval_of(-difference, half_width)
        for difference, half_width in zip(
            found.difference.tolist(), found.half_width.tolist(), strict=True
        )
    )
    key, other = design.keys[found.factor], design.keys[found.other]
    a, b = names[found.b], names[found.a]
    levels = tuple(others[level] for level in found.levels.tolist())
    return Dependence(
        factor=key,
        a=a,
        b=b,
        other=other,
        levels=levels,
        ratios=ratios,
        flips=found.flips,
        text=_text(data, key, (a, b), other, dict(zip(levels, ratios, strict=True)), found),
    )


def _text(
    data: StudyData,
    key: str,
    pair: tuple[str, str],
    other: str,
    ratios: dict[str, Interval],
    found: LevelDependence,
) -> str:
    a, b = pair
    low = min(ratios, key=lambda level: ratios[level].ci95_high or 0.0)
    high = max(ratios, key=lambda level: ratios[level].ci95_low or 0.0)
    if not found.flips:
        return (
            f"{key}: {a} over {b} is x {ratio_text(ratios[low])} at {other} {low}, and "
            f"x {ratio_text(ratios[high])} at {other} {high}"
        )
    better, worse = (low, high) if data.figure.lower_is_better else (high, low)
    return (
        f"{key}: {a} is better than {b} at {other} {better} (x {ratio_text(ratios[better])}), "
        f"worse at {other} {worse} (x {ratio_text(ratios[worse])})"
    )
