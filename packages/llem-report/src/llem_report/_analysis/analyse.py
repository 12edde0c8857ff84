"""The analysis of the folder of a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from llem_report._analysis.dependence_texts import dependences, why_no_flips
from llem_report._analysis.factor_effects import factor_effects, level_pairs
from llem_report._analysis.figure_means import figure_means
from llem_report._analysis.findings import finding, method
from llem_report._analysis.point_estimates import (
    point_estimates,
    run_estimates,
)
from llem_report._analysis.point_ratios import compared_points, point_ratios
from llem_report._analysis.study_ranking import StudyRanking, rank_study
from llem_report._ranking.shares import Shares, in_range
from llem_report._study_data.read import read_study_data
from llem_report._study_data.study_data import StudyData
from llem_report.records import Analysis, ShareTerm
from llem_runner.compared_values import ComparedValues
from llem_runner.records import caveat_of_times, worse_answers


def analyse(
    folder: str | Path, figure: str | None = None, by: Literal["axis", "field"] = "axis"
) -> Analysis:
    """Return what a study allows to conclude: which choices matter most, by how much, how surely.

    The study may be running, interrupted or failed: the runs that are there take part. Where nothing
    can be ranked, `reason` of the analysis says why. The same folder gives the same analysis.

    Args:
        folder: of the study.
        figure: name of the figure of merit, such as `tokens_per_second`; None takes energy per
            output token if any run has it, else output tokens per second.
        by: `axis` takes the axes of the study file as choices, `field` every field that differs.

    Raises:
        ReportError: not a study folder, its manifest is missing or damaged, there is no such
            figure, or no run has it.
    """
    import numpy as np  # before the limit, which holds for libraries that are loaded
    from threadpoolctl import threadpool_limits

    del np
    data = read_study_data(folder, figure=figure, by=by)
    # Many small matrices: on a busy machine, threads that wait for each other take seconds.
    with threadpool_limits(limits=1, user_api="blas"):
        return analysis_of(data)


def analysis_of(data: StudyData) -> Analysis:
    """Return what a study that has been read allows to conclude."""
    compared = compared_points(data)
    ranked = rank_study(data, compared)
    study = None if isinstance(ranked, str) else ranked
    reason = ranked if isinstance(ranked, str) else ranked.reason
    factors = () if study is None else factor_effects(data, study)
    if study is not None and reason is None and all(each.effect is None for each in factors):
        reason = "; ".join(str(each.reason) for each in factors)
    ratios = point_ratios(data, study, compared)
    # Of the compared runs, the means have the ratios that are stated, and the level of `study show`.
    values = figure_means(data, data.figure.name) | figure_means(
        data, data.figure.name, ratios.runs
    )
    statuses = Counter(run.status for run in data.runs)
    points = point_estimates(data, ratios, values)
    worse = worse_answers((point.label, point.quality) for point in points)
    return Analysis(
        study_name=data.name,
        study_design_hash=data.study_design_hash,
        # A study whose process was killed has no one to write that it stopped.
        status="interrupted"
        if data.status == "running" and data.is_running is False
        else data.status,
        figure=data.figure.name,
        unit=data.figure.unit,
        lower_is_better=data.figure.lower_is_better,
        by=data.by,
        n_points=len(data.points),
        n_cycles=data.n_cycles,
        n_runs_planned=len(data.runs),
        n_runs_used=len(data.used_runs),
        n_runs_failed=statuses["failed"],
        n_runs_pending=statuses["pending"] + statuses["running"] + statuses["interrupted"],
        finding=finding(data.figure, factors, reason),
        factors=factors,
        level_pairs=() if study is None else tuple(level_pairs(study)),
        dependences=() if study is None else tuple(dependences(data, study)),
        flips_note=reason if study is None else why_no_flips(study),
        shares_of_rest={} if study is None else _rest(study),
        shares_reason=reason if study is None else _why_no_shares(study),
        share_terms=() if study is None else tuple(_share_terms(study)),
        detectable_ratio=ratios.detectable,
        points=points,
        runs=run_estimates(data, values),
        method=method(study, compared),
        caveats=(
            *_measured_apart(data, compared),
            *data.caveats,
            *worse,
            *(() if study is None else study.caveats),
        ),
        left_out=(
            *data.other_machines,
            *(each.reason for each in data.dropped),
            *data.problems,
        ),
        reason=reason,
    )


def _measured_apart(data: StudyData, compared: ComparedValues | None) -> Iterator[str]:
    """Yield a sentence if compared points ran at different times."""
    if compared is None:
        return
    started_at = {
        run.index: run.started_at
        for run in data.runs
        if run.index in compared.runs and run.started_at is not None
    }
    if (sentence := caveat_of_times(data.manifest.entries, started_at)) is not None:
        yield sentence


def _rest(study: StudyRanking) -> dict[str, float]:
    shares = study.ranking.shares
    if not isinstance(shares, Shares):
        return {}
    return {
        "three and more together": in_range(shares.three_and_more),
        "not attributable": shares.not_attributable,
    }


def _share_terms(study: StudyRanking) -> Iterator[ShareTerm]:
    shares = study.ranking.shares
    if isinstance(shares, Shares):
        keys = study.design.keys
        for term, share in shares.terms.items():
            yield ShareTerm(factors=tuple(keys[f] for f in term), share=in_range(share))


def _why_no_shares(study: StudyRanking) -> str | None:
    shares = study.ranking.shares
    return shares if isinstance(shares, str) else None
