"""The statistics of a study over its cycles and the totals over its runs, from its files."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from llem_config import ExecutionConfig, Settings, StudyConfig
from llem_config.carbon import carbon_of
from llem_runner._analysis.answer_quality import qualities_of_points
from llem_runner._analysis.compared_runs import comparable_values, runs_to_compare
from llem_runner._analysis.comparison import compare_points
from llem_runner._analysis.durations import device_hours, wall_time_s
from llem_runner._analysis.input_changes import input_changes
from llem_runner._analysis.machines import run_elsewhere
from llem_runner._analysis.meters import exactness, gain_errors
from llem_runner._analysis.neighbour_effects import neighbour_effects
from llem_runner._analysis.statistics import (
    cv_limit,
    geometric_mean,
    lag1,
    mean_interval,
    runs_needed,
    sample_sd,
)
from llem_runner._analysis.study_drift import find_drift
from llem_runner._analysis.study_outliers import find_outliers
from llem_runner._plan.labels import levels
from llem_runner._storage.comparison_records import Figure
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import ManifestEntry, StudyManifest
from llem_runner._storage.measurement_protocol import MeasurementProtocol
from llem_runner._storage.point_quality import PointQuality
from llem_runner._storage.result_files import stored_result
from llem_runner._storage.run_facts import FactsOfRuns, MeasuredRun
from llem_runner._storage.study_result import (
    FailedRun,
    PointSummary,
    Skipped,
    Statistics,
    StudyResult,
    StudySummary,
)

_J_PER_KWH = 3.6e6
_HALF_WIDTHS = {"0.5%": 0.005, "1%": 0.01, "2%": 0.02}
_Figure = Callable[[MeasuredRun], float | None]


def summarise(
    study: StudyConfig,
    layout: Layout,
    manifest: StudyManifest,
    settings: Settings,
    *,
    limits_enforced: bool,
    results: Mapping[int, MeasuredRun] | None = None,
    shards_per_cycle: int | None = None,
) -> StudyResult:
    """Return the result of a study from its manifest and the result files listed there.

    Args:
        study: with every gap a number.
        layout: of its folder.
        manifest: of the folder.
        settings: with which its runs were measured.
        limits_enforced: whether a run is ended at its timeout.
        results: of the completed runs by index, in order of the entries; None: they are read.
        shards_per_cycle: None if it is not a divided study.
    """
    entries = manifest.entries
    if results is None:
        facts = FactsOfRuns()
        results = {
            entry.index: facts.of(stored_result(layout.folder / entry.result_file))
            for entry in entries
            if entry.status == "completed" and entry.result_file is not None
        }
    changes = input_changes(entries, results)
    compared = runs_to_compare(entries, results)
    elsewhere = compared.machines.left_out
    # On another machine, a run is far from the others of its point without being an outlier.
    outliers = find_outliers(entries, {i: r for i, r in results.items() if i not in elsewhere})
    comparisons = compare_points(
        entries,
        results,
        study.execution.cycle_order,
        input_changes=changes,
        looks=manifest.looks,
        outliers=[outlier.index for outlier in outliers],
        extensions=manifest.extensions,
        runs=compared,
    )
    values = comparable_values(compared, comparisons)
    factors = dict(zip(study.config_hashes, levels(study), strict=True))
    total_j = _sum([result.energy_total_j for result in results.values()])
    site = settings.measurement
    grid_kwh = None if total_j is None else total_j / _J_PER_KWH * site.datacenter_pue
    by_point: dict[str, list[ManifestEntry]] = {}
    for entry in entries:
        by_point.setdefault(entry.config_hash, []).append(entry)
    qualities = qualities_of_points(by_point, results)
    return StudyResult(
        study_name=study.name,
        study_design_hash=study.study_design_hash,
        status=manifest.status,
        measurement_protocol=_protocol(
            study.execution, settings, entries, results, limits_enforced, shards_per_cycle
        ),
        result_files=tuple(e.result_file for e in entries if e.index in results and e.result_file),
        summary=StudySummary(
            planned=len(entries),
            completed=manifest.totals.completed,
            failed=manifest.totals.failed,
            skipped=len(study.skipped),
            wall_time_s=wall_time_s(entries),
            device_hours=device_hours(entries, results),
            total_energy_j=total_j,
            emissions_gco2=_times(grid_kwh, carbon_of(site).gco2_per_kwh),
            electricity_cost=_times(grid_kwh, site.electricity_price_kwh),
            points=tuple(
                _point(
                    group,
                    results,
                    compared.figure,
                    values.get(point),
                    factors.get(point, {}),
                    qualities.get(point),
                    elsewhere.keys(),
                )
                for point, group in by_point.items()
            ),
            warnings=dict(Counter(w for r in results.values() for w in r.measurement_warnings)),
            comparisons=comparisons,
            outliers=outliers,
            drift=find_drift(compared, results),
            neighbours=neighbour_effects(entries, results),
            input_changes=changes,
        ),
        skipped=tuple(Skipped(config=p.config, reason=p.reason) for p in study.skipped),
        failed=tuple(
            FailedRun(
                index=entry.index,
                cycle=entry.cycle,
                config_hash=entry.config_hash,
                label=entry.label,
                error_type=entry.error_type,
                error_message=entry.error_message,
            )
            for entry in entries
            if entry.status == "failed"
        ),
        n_duplicates=study.n_duplicates,
        n_excluded=study.n_excluded,
    )


def _protocol(
    execution: ExecutionConfig,
    settings: Settings,
    entries: Sequence[ManifestEntry],
    results: Mapping[int, MeasuredRun],
    limits_enforced: bool,
    shards_per_cycle: int | None,
) -> MeasurementProtocol:
    carbon = carbon_of(settings.measurement)
    return MeasurementProtocol(
        n_cycles=execution.n_cycles,
        cycle_order=execution.cycle_order,
        shuffle_seed=execution.shuffle_seed,
        shards_per_cycle=shards_per_cycle,
        config_gap_seconds=execution.config_gap_seconds or 0.0,
        cycle_gap_seconds=execution.cycle_gap_seconds or 0.0,
        gap_until_temperature_c=settings.execution.gap_until_temperature_c,
        gap_within_c=settings.execution.gap_within_c,
        gap_at_most_seconds=settings.execution.gap_at_most_seconds,
        stall_seconds=execution.stall_seconds if limits_enforced else None,
        timeout_seconds=execution.timeout_seconds if limits_enforced else None,
        energy_sources=tuple(
            sorted({r.energy_source for r in results.values() if r.energy_source})
        ),
        counter_exactness=dict(Counter(exactness(results.values()))),
        gain_errors=dict(Counter(gain_errors(results.values()))),
        host_sources=tuple(
            sorted({r.energy_host_source for r in results.values() if r.energy_host_source})
        ),
        executors=tuple(sorted({e.executor for e in entries if e.index in results and e.executor})),
        carbon_intensity_gco2_kwh=carbon.gco2_per_kwh,
        carbon_intensity_source=carbon.source,
        datacenter_pue=settings.measurement.datacenter_pue,
        electricity_price_kwh=settings.measurement.electricity_price_kwh,
    )


def _point(
    entries: Sequence[ManifestEntry],
    results: Mapping[int, MeasuredRun],
    headline: Figure,
    compared: Sequence[float] | None,
    levels: dict[str, str],
    answers: PointQuality | None,
    elsewhere: Collection[int],
) -> PointSummary:
    """Return the statistics of a point.

    Args:
        entries: its planned runs.
        results: of the completed runs of the study, by index.
        headline: the figure by which points are compared.
        compared: this figure in the compared runs; None if the point is not compared.
        levels: its level of each factor.
        answers: their quality.
        elsewhere: indices of the runs of the study on another kind of machine than most.
    """
    runs = [(entry.index, results[entry.index]) for entry in entries if entry.index in results]
    # By time, not by place in the schedule: a resume repeats a run later than planned.
    runs.sort(key=lambda run: run[1].started_at)
    point_results = [result for _, result in runs]
    usual = [result for index, result in runs if index not in elsewhere]
    is_one_place = not run_elsewhere(point_results)

    def over_cycles(
        figure: _Figure, of: Sequence[MeasuredRun] = point_results
    ) -> Statistics | None:
        values = [value for result in of if (value := figure(result)) is not None]
        return describe(values, is_one_place=is_one_place)

    energy, speed = (lambda r: r.energy_per_output_token_j), (lambda r: r.tokens_per_second)
    # The difference between two kinds of machine is no spread that further runs would average out.
    spread = over_cycles(energy, usual) or over_cycles(speed, usual)
    return PointSummary(
        config_hash=entries[0].config_hash,
        label=entries[0].label,
        n_completed=len(point_results),
        n_failed=sum(entry.status == "failed" for entry in entries),
        energy_per_output_token_j=over_cycles(energy),
        energy_total_j=over_cycles(lambda r: r.energy_total_j),
        energy_bound_share=max(
            (
                result.energy_bound_j / result.energy_total_j
                for result in point_results
                if result.energy_total_j and result.energy_bound_j is not None
            ),
            default=None,
        ),
        energy_estimated_j=over_cycles(lambda r: r.energy_estimated_j),
        tokens_per_second=over_cycles(speed),
        time_to_first_token_s=over_cycles(
            lambda r: None if r.time_to_first_token is None else r.time_to_first_token.mean_s
        ),
        runs_needed=_runs_needed(spread),
        runs_needed_high=_runs_needed(spread, upper=True),
        n_planned=len(entries),
        n_flagged=sum(
            quality.status == "flagged"
            for result in point_results
            if (quality := result.figures.get(headline)) is not None
        ),
        levels=levels,
        energy_per_output_token_with_host_j=over_cycles(
            lambda r: r.energy_per_output_token_with_host_j
        ),
        compared=None if compared is None else describe(compared, is_one_place=is_one_place),
        quality=answers,
        n_other_machine=len(runs) - len(usual),
    )


def describe(values: Sequence[float], *, is_one_place: bool = True) -> Statistics | None:
    """Return the statistics of a point's runs, in the order in which they ran.

    Args:
        values: of the runs.
        is_one_place: whether all ran on one machine and its devices; else their order in time says
            nothing about a drift.

    Returns None if there are no values.
    """
    if not values:
        return None
    low, high = mean_interval(values) or (None, None)
    return Statistics(
        n=len(values),
        mean=statistics.fmean(values),
        median=statistics.median(values),
        sd=sample_sd(values) if len(values) > 1 else None,
        ci95_low=low,
        ci95_high=high,
        geometric_mean=geometric_mean(values) if min(values) > 0 else None,
        lag1=lag1(values) if is_one_place else None,
    )


def _runs_needed(figure: Statistics | None, *, upper: bool = False) -> dict[str, int | None]:
    """Return the number of runs by half-width, at the observed spread or at its upper limit."""
    if figure is None or figure.sd is None or figure.mean <= 0:
        return {}
    cv = figure.sd / figure.mean
    if upper:
        cv = cv_limit(cv, figure.n)
    return {name: runs_needed(cv, share) for name, share in _HALF_WIDTHS.items()}


def _sum(values: Sequence[float | None]) -> float | None:
    """Return the sum; None if a value is missing, because a partial sum would look complete."""
    present = [value for value in values if value is not None]
    return sum(present) if present and len(present) == len(values) else None


def _times(amount: float | None, factor: float | None) -> float | None:
    return None if amount is None or factor is None else amount * factor
