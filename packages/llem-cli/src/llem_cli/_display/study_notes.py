"""The lines below the table of a study's result: how to read it, and what went wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from llem_cli._display.console import MAX_LINES, count, duration, resume_command
from llem_runner import StudyResult
from llem_runner.records import PointSummary, Statistics

RATIO = "x best"
"""The column with the ratio of each point to the best one."""
_BEST = {
    "energy_per_output_token_j": "lowest J/output token",
    "tokens_per_second": "highest tokens/s",
}


def result_notes(result: StudyResult, folder: Path) -> Iterator[str]:
    """Yield the lines below the table."""
    yield from _legend(result)
    yield from _comparison(result)
    yield from _problems(result, folder)
    yield from _totals(result)


def _legend(result: StudyResult) -> Iterator[str]:
    """Yield what the columns mean."""
    points, comparisons = result.summary.points, result.summary.comparisons
    if any(point.n_completed > 1 for point in points):
        if result.schema_version == 1:
            yield "±: standard deviation over the runs of a point"
        else:
            yield "±: half-width of the 95 % confidence interval of the mean over a point's runs"
    if any(point.energy_estimated_j for point in points):
        yield "modelled J: an estimate from CPU time, not a measurement"
    if comparisons is not None and comparisons.points:
        yield (
            f"{RATIO}: ratio to the best point, with simultaneous 95 % confidence intervals; "
            "differences between cycles are removed"
        )


def _comparison(result: StudyResult) -> Iterator[str]:
    """Yield how the points compare, and what limits the comparison."""
    summary, comparisons = result.summary, result.summary.comparisons
    if comparisons is None:
        return
    if comparisons.points:
        n_alike = sum(not point.distinguishable for point in comparisons.points)
        yield (
            f"best: {comparisons.reference_label} ({_BEST[comparisons.figure]} over "
            f"{count(comparisons.n_blocks, 'cycle')})"
        )
        yield (
            f"{n_alike} of {count(len(comparisons.points), 'other point')} cannot be "
            "distinguished from the best (95 % confidence)"
        )
    elif len(summary.points) > 1:
        yield f"points are not compared: {comparisons.reason}"
    for caveat in comparisons.caveats:
        yield f"caveat: {caveat}"
    for label in comparisons.left_out if len(summary.points) > 1 else ():
        yield f"not compared (too few results): {label}"
    yield from _precision(summary.points, comparisons.figure)


def _precision(points: Sequence[PointSummary], figure: str) -> Iterator[str]:
    """Yield which confidence intervals are too narrow, and how many runs a narrower one needs."""
    for point in points:
        statistics: Statistics | None = getattr(point, figure)
        if statistics is None or statistics.lag1 is None:
            continue
        # Independent runs stay below this limit 19 times out of 20.
        if statistics.lag1 > 2 / math.sqrt(statistics.n):
            yield (
                f"the runs of {point.label} are correlated (lag-1 autocorrelation "
                f"{statistics.lag1:.2f}): their ± is too small"
            )
    imprecise = [p for p in points if p.runs_needed and _n_needed(p, "1%") > p.n_completed]
    if imprecise:
        widest = max(imprecise, key=lambda point: _n_needed(point, "1%"))
        yield (
            f"a precision of ± 1 % takes {_runs_needed(widest, '1%')} of the point with the "
            f"largest spread; ± 2 % takes {_runs_needed(widest, '2%')}"
        )


def _n_needed(point: PointSummary, half_width: str) -> float:
    return point.runs_needed[half_width] or math.inf


def _runs_needed(point: PointSummary, half_width: str) -> str:
    n_runs = point.runs_needed[half_width]
    return "more than 1000 runs" if n_runs is None else count(n_runs, "run")


def _problems(result: StudyResult, folder: Path) -> Iterator[str]:
    """Yield outliers, warnings, failures and skipped points."""
    summary = result.summary
    for outlier in summary.outliers:
        cause = "; ".join(outlier.warnings) or "cause unknown"
        yield (
            f"run {outlier.index} is an outlier: {outlier.ratio:.3f} x the other runs of "
            f"{outlier.label} ({cause}); it is included in the figures"
        )
    warnings = sorted(summary.warnings.items(), key=lambda item: -item[1])
    for warning, n_runs in warnings[:MAX_LINES]:
        yield f"warning ({count(n_runs, 'run')}): {warning}"
    if len(warnings) > MAX_LINES:
        others = count(len(warnings) - MAX_LINES, "other warning")
        yield f"and {others}, listed in the result.json of the runs"
    for failure in result.failed:
        yield f"run {failure.index} failed: {failure.error_type}: {failure.error_message}"
    if result.failed:
        yield f"run the failed runs again with {resume_command(folder)}"
    for skipped in result.skipped:
        yield f"skipped: {skipped.reason}"


def _totals(result: StudyResult) -> Iterator[str]:
    """Yield counts, time, energy, emissions and cost of the whole study."""
    summary = result.summary
    energy_j = summary.total_energy_j
    energy = "" if energy_j is None else f", {energy_j:.6g} J in the measured windows"
    yield (
        f"{summary.completed} of {count(summary.planned, 'run')} completed, {summary.failed} "
        f"failed, {duration(summary.wall_time_s)}{energy}"
    )
    if summary.emissions_gco2 is not None:
        yield f"emissions: {summary.emissions_gco2:.4g} gCO2 at this machine's carbon intensity"
    if summary.electricity_cost is not None:
        yield f"electricity: {summary.electricity_cost:.4g} at this machine's price"
