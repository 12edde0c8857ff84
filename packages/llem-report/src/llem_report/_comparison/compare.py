"""`compare`: whether a study is worse than an earlier one, by how much, and at which points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from llem_report._comparison.caveats import (
    METHOD,
    caveats,
    no_common_point,
    why_no_verdict,
    why_not_comparable,
)
from llem_report._comparison.conditions import differences
from llem_report._comparison.factor_changes import compare_factors
from llem_report._comparison.measured_study import (
    MeasuredRun,
    MeasuredStudy,
    common_figure,
    read_measured_study,
)
from llem_report._comparison.pairing import Pair, pair_points
from llem_report._comparison.point_changes import compare_points, interval_of
from llem_report._comparison.sides import sensor_gain, side_of, with_results
from llem_report._comparison.verdict import NO_VERDICT, Rule, judge, sentence
from llem_report._comparison.welch import Difference, cycles_needed, difference, simultaneous
from llem_report._errors import ReportError
from llem_report._study_data.figures import figure_named
from llem_report.comparison_records import StudyComparison


def compare(
    base: str | Path,
    new: str | Path,
    *,
    figure: str | None = None,
    gate: float | None = None,
    ignore: Sequence[str] = (),
    same_meter: bool = False,
    n_comparisons: int = 1,
) -> StudyComparison:
    """Compare a study with an earlier one.

    Args:
        base: folder of the earlier study.
        new: folder of the later study.
        figure: name of what is compared; None: energy per output token if runs of both studies have
            it, else tokens per second.
        gate: a worsening counts only above this share, such as 0.02. None: any counts.
        ignore: fields, such as `model` or `pytorch.batch_size`, in which paired points may differ.
        same_meter: whether the sensors of both studies are known to agree, although they are those
            of different boards.
        n_comparisons: number of comparisons that are made with this base; the intervals hold
            simultaneously for all of them.

    Raises:
        StudyError: a folder holds no study, or its manifest is damaged.
        ReportError: the studies have no common point with the figure, or there is no such figure or
            ignored field.
    """
    old, later = read_measured_study(base), read_measured_study(new)
    compared = compare_studies(
        old,
        later,
        figure=figure,
        gate=gate,
        ignore=ignore,
        same_meter=same_meter,
        n_comparisons=n_comparisons,
    )
    if compared.ratio is None:
        return compared
    factors = compare_factors(
        old.folder, later.folder, compared.figure, same_points=not compared.unpaired
    )
    return replace(compared, factors=factors)


def compare_studies(
    base: MeasuredStudy,
    new: MeasuredStudy,
    *,
    figure: str | None = None,
    gate: float | None = None,
    ignore: Sequence[str] = (),
    same_meter: bool = False,
    n_comparisons: int = 1,
) -> StudyComparison:
    """Compare two studies that are read already, without their factors; see `compare`."""
    pairing = pair_points(base, new, ignore)
    if figure is None:
        chosen = common_figure(_runs(base, pairing.pairs, 0), _runs(new, pairing.pairs, 1))
    else:
        chosen = figure_named(figure)
    info = chosen.info
    pairs, left_out = with_results(base, new, pairing.pairs, info)
    unpaired = (*pairing.unpaired, *left_out)
    if not pairs:
        raise ReportError(no_common_point(base, new, info, unpaired))
    old = side_of(base, [pair.base for pair in pairs], info)
    later = side_of(new, [pair.new for pair in pairs], info)
    level = simultaneous(n_comparisons)
    identical = old.identities == later.identities
    reason = None if identical else why_not_comparable(old.runs, later.runs, info)
    is_compared = reason is None
    gain = 0.0 if identical or same_meter else sensor_gain(old, later, info)
    rule = Rule(info.lower_is_better, gate, gain)
    needed = None
    if identical:
        overall = Difference(0.0, 0.0)
        text = "both folders hold the same runs"
    else:
        overall = difference(later.parts(), old.parts(), level)
    judgement = judge(overall, rule) if is_compared else NO_VERDICT
    if not is_compared:
        text = f"{info.unit}: not compared"
    elif not identical:
        text = sentence(info.unit, overall, rule, judgement)
    if judgement.verdict == "cannot_be_told" and is_compared:
        needed = cycles_needed(later.parts(), old.parts(), judgement.missing_half_width, level)
        reason = why_no_verdict(old, later, overall, rule, judgement, needed)
    return StudyComparison(
        base=old.summary(),
        new=later.summary(),
        figure=info.name,
        unit=info.unit,
        lower_is_better=info.lower_is_better,
        verdict=judgement.verdict,
        text=text,
        ratio=interval_of(overall) if is_compared else None,
        gate=gate,
        same_within=judgement.same_within,
        sensor_gain=gain,
        cycles_needed=needed,
        differences=differences(old.conditions, later.conditions),
        ignored=tuple(ignore),
        points=compare_points(old, later, pairs, rule, n_comparisons) if is_compared else (),
        unpaired=unpaired,
        factors=(),
        method=METHOD,
        caveats=tuple(
            caveats(old.study, later.study, old.runs, later.runs, gain=gain, identical=identical)
        ),
        reason=reason,
    )


def _runs(study: MeasuredStudy, pairs: Sequence[Pair], side: int) -> list[MeasuredRun]:
    points = {pair[side] for pair in pairs}
    return [run for run in study.runs if run.config_hash in points]
