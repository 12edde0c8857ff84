"""The lines below the table of a study's result: how to read it, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llem_cli._display.comparison_notes import comparison_lines, legend
from llem_cli._display.console import count, duration, first_lines, message_lines, resume_command
from llem_cli._display.continuation import cluster_of
from llem_cli._display.meter_notes import meter_lines
from llem_cli._display.node_energy import node_energy_lines
from llem_cli._display.numbers import ratio_text
from llem_cli._display.similar_warnings import warning_lines
from llem_runner import StudyResult
from llem_runner.shards import is_divided


def result_notes(result: StudyResult, folder: Path) -> Iterator[str]:
    """Yield the lines below the table."""
    yield from legend(result)
    yield from meter_lines(result)
    yield from comparison_lines(result)
    yield from _more_cycles(result, folder)
    yield from node_energy_lines(result.summary.node_energy)
    yield from _problems(result, folder)
    yield from _totals(result)


def _more_cycles(result: StudyResult, folder: Path) -> Iterator[str]:
    """Yield how to add cycles if all runs are done, and more of them would make points comparable."""
    summary, comparisons = result.summary, result.summary.comparisons
    if comparisons is None or comparisons.points or summary.completed < summary.planned:
        return
    if result.measurement_protocol.cycle_order == "sequential":
        return
    if len(summary.points) - len(comparisons.left_out) < 2:  # cycles would not change that
        return
    n_cycles = max(3, 1 + max(point.n_planned or point.n_completed for point in summary.points))
    command = resume_command(folder, on=cluster_of(folder)).rstrip("`")
    yield f"to compare them, add cycles: {command} --cycles {n_cycles}`"


def _problems(result: StudyResult, folder: Path) -> Iterator[str]:
    """Yield outliers, warnings, failures and skipped points."""
    summary = result.summary
    yield from first_lines(
        (f"warning: {change}; the figures mix both" for change in summary.input_changes),
        lambda n: f"and {count(n, 'other change')} of input files",
    )
    for outlier in summary.outliers:
        cause = "; ".join(outlier.warnings) or "cause unknown"
        yield (
            f"run {outlier.index} is an outlier once differences between cycles are removed: as measured, it "
            f"is {ratio_text(outlier.ratio)} x the other runs of {outlier.label} ({cause}); it is included "
            "in the figures"
        )
    yield from first_lines(
        warning_lines(summary.warnings),
        lambda n: f"and {count(n, 'other warning')}, listed in the result.json of the runs",
    )
    for failure in result.failed:
        error = f"{failure.error_type}: {failure.error_message}"
        yield from message_lines(f"run {failure.index} failed: {error}")
    if result.failed:
        option = " --retry-failed" if is_divided(folder) else ""
        command = resume_command(folder, on=cluster_of(folder)).rstrip("`")
        yield f"run the failed runs again with {command}{option}`"
    for skipped in result.skipped:
        yield f"skipped: {skipped.reason}"


def _totals(result: StudyResult) -> Iterator[str]:
    """Yield counts, time, energy, emissions and cost of the whole study."""
    summary = result.summary
    energy_j = summary.total_energy_j
    energy = "" if energy_j is None else f", {energy_j:.6g} J in the measured windows"
    seconds = summary.wall_time_s
    wall_time = "" if seconds is None else f", {duration(seconds)}"
    yield (
        f"{summary.completed} of {count(summary.planned, 'run')} completed, {summary.failed} "
        f"failed{wall_time}{energy}"
    )
    if summary.emissions_gco2 is not None:
        yield f"emissions: {summary.emissions_gco2:.4g} gCO2{_intensity(result)}"
    if summary.electricity_cost is not None:
        yield f"electricity: {summary.electricity_cost:.4g} at this machine's price"


def _intensity(result: StudyResult) -> str:
    """Return at which carbon intensity; empty if a file does not tell."""
    protocol = result.measurement_protocol
    if protocol.carbon_intensity_gco2_kwh is None:
        return ""
    source = protocol.carbon_intensity_source
    origin = "" if source is None else f" ({source})"
    return f" at {protocol.carbon_intensity_gco2_kwh:.4g} gCO2/kWh{origin}"
