"""The record of a study as a person reads it: a table of points, and what to make of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.table import Table

from llem_cli._display.console import MOST_LINES, count, duration, out, say
from llem_runner import Comparisons, PointSummary, Statistics, StudyResult

_BEST = {
    "energy_per_output_token_j": "lowest J/output token",
    "tokens_per_second": "most tokens/s",
}
_RATIO = "x best"
_Cell = Callable[[PointSummary], str]


def show_study(result: StudyResult, folder: str, *, console: Console | None = None) -> None:
    """Print the record of a study: one row per point, how they compare, where everything is.

    Args:
        result: of the study.
        folder: where it is.
        console: the table goes there; stdout unless given.
    """
    console = console or out()
    table = Table(
        title=f"{result.study_name}: {result.status}",
        title_justify="left",
        box=None,
        pad_edge=False,
        collapse_padding=console.width < 100,
    )
    columns = _columns(result)
    for name, _ in columns:
        if name == "point":  # gives way in a narrow terminal, but is never cut: it names the row
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=name != _RATIO)
    for point in result.summary.points:
        table.add_row(*(cell(point) for _, cell in columns))
    console.print(table)
    for lines in (_notes(result), _reading(result), _mishaps(result), _totals(result)):
        for line in lines:
            say(line)
    say(f"results: {folder}")


def _columns(result: StudyResult) -> list[tuple[str, _Cell]]:
    points, compared = result.summary.points, result.summary.comparisons
    spread = _with_sd if result.schema_version == 1 else _with_interval
    columns: list[tuple[str, _Cell]] = [
        ("point", lambda p: p.label),
        ("runs", lambda p: str(p.n_completed) + (f" (-{p.n_failed})" if p.n_failed else "")),
        ("tokens/s", lambda p: spread(p.tokens_per_second)),
        ("first\ntoken ms", lambda p: spread(p.time_to_first_token_s, 1e3)),
    ]
    if any(point.energy_per_output_token_j for point in points):
        columns[2:2] = [
            ("J/output\ntoken", lambda p: spread(p.energy_per_output_token_j)),
            ("error\nbound", lambda p: _share(p.energy_bound_share)),
        ]
    if any(point.energy_estimated_j for point in points):
        columns.append(("modelled\nJ", lambda p: spread(p.energy_estimated_j)))
    if compared is not None and compared.points:
        ratios = _ratios(compared)
        columns.append((_RATIO, lambda p: ratios.get(p.config_hash, "-")))
    return columns


def _ratios(compared: Comparisons) -> dict[str, str]:
    """Return each point's ratio to the best one with its interval, by hash."""
    ratios = {
        point.config_hash: f"{point.ratio:.3f} ({point.ci95_low:.3f}-{point.ci95_high:.3f})"
        for point in compared.points
    }
    if compared.reference_hash is not None:
        ratios[compared.reference_hash] = "best"
    return ratios


def _with_interval(figure: Statistics | None, scale: float = 1.0) -> str:
    """Return the mean and how far the truth may be from it."""
    if figure is None:
        return "missing"
    mean = _plain(figure.mean * scale, 4)
    if figure.ci95_low is None or figure.ci95_high is None:
        return mean
    # The interval of a geometric mean is a little longer upwards: the longer half holds both.
    half = max(figure.ci95_high - figure.mean, figure.mean - figure.ci95_low)
    if figure.ci95_high == figure.ci95_low:
        half = 0.0  # and no rounding of the mean
    if half > figure.mean:
        return f"{mean} ± over 100 %"  # two runs far apart: the number itself would say nothing
    return f"{mean} ± {_plain(half * scale, 2)}"


def _with_sd(figure: Statistics | None, scale: float = 1.0) -> str:
    """Return mean and standard deviation, which is all that a record of format 1 has."""
    if figure is None:
        return "missing"
    mean = _plain(figure.mean * scale, 4)
    return mean if figure.sd is None else f"{mean} ± {_plain(figure.sd * scale, 2)}"


def _plain(value: float, digits: int) -> str:
    """Return a number to so many digits, without an exponent where a person needs none."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e7 else text


def _share(share: float | None) -> str:
    return "none" if share is None else f"{share:.2%}"


def _notes(result: StudyResult) -> Iterator[str]:
    """Yield what the columns mean."""
    points = result.summary.points
    if any(point.n_completed > 1 for point in points):
        if result.schema_version == 1:
            yield "±: standard deviation over the runs of a point"
        else:
            yield "±: half of the 95 % confidence interval of the mean over a point's runs"
    if any(point.energy_estimated_j for point in points):
        yield "modelled J: an estimate from CPU time, not a measurement"


def _reading(result: StudyResult) -> Iterator[str]:
    """Yield how the points compare, and what speaks against it."""
    summary, compared = result.summary, result.summary.comparisons
    if compared is None:
        return
    if compared.points:
        alike = sum(not point.distinguishable for point in compared.points)
        yield "x best: ratio and its 95 % interval, cycles taken out; all intervals hold at once"
        yield (
            f"best: {compared.reference_label} ({_BEST[compared.figure]} over "
            f"{count(compared.n_blocks, 'cycle')})"
        )
        yield (
            f"{alike} of {count(len(compared.points), 'other point')} cannot be told apart from "
            "the best at 95 %"
        )
    elif len(summary.points) > 1:
        yield f"points are not compared: {compared.reason}"
    for caveat in compared.caveats:
        yield f"but: {caveat}"
    for label in compared.left_out:
        yield f"not compared, for want of results: {label}"
    yield from _precision(summary.points, compared.figure)


def _precision(points: Sequence[PointSummary], figure: str) -> Iterator[str]:
    """Yield how far the runs themselves can be trusted, and how many more would help."""
    for point in points:
        own: Statistics | None = getattr(point, figure)
        # Independent runs stay below this nineteen times in twenty.
        if own is not None and own.lag1 is not None and own.lag1 > 2 / math.sqrt(own.n):
            yield (
                f"the runs of {point.label} drift together (lag-1 autocorrelation "
                f"{own.lag1:.2f}): their ± is too narrow"
            )
    short = [p for p in points if p.runs_needed and _needs(p, "1%") > p.n_completed]
    if short:
        most = max(short, key=lambda p: _needs(p, "1%"))
        yield (
            f"± 1 % of the mean takes {_runs(most, '1%')} at the widest spread seen here, "
            f"± 2 % {_runs(most, '2%')}"
        )


def _needs(point: PointSummary, half_width: str) -> float:
    return point.runs_needed[half_width] or math.inf


def _runs(point: PointSummary, half_width: str) -> str:
    needed = point.runs_needed[half_width]
    return "more than 1000 runs" if needed is None else count(needed, "run")


def _mishaps(result: StudyResult) -> Iterator[str]:
    """Yield what went wrong or stands out, run by run."""
    summary = result.summary
    for outlier in summary.outliers:
        cause = "; ".join(outlier.warnings) or "no cause known"
        yield (
            f"run {outlier.index} stands out, at {outlier.ratio:.3f} x the other runs of "
            f"{outlier.label} ({cause}); it is kept"
        )
    often = sorted(summary.warnings.items(), key=lambda item: -item[1])
    for warning, n_runs in often[:MOST_LINES]:
        yield f"warning ({count(n_runs, 'run')}): {warning}"
    if len(often) > MOST_LINES:
        yield f"and {count(len(often) - MOST_LINES, 'other warning')}, in the files of the runs"
    for failure in result.failed:
        yield f"run {failure.index} failed: {failure.error_type}: {failure.error_message}"
    for skipped in result.skipped:
        yield f"skipped: {skipped.reason}"


def _totals(result: StudyResult) -> Iterator[str]:
    summary = result.summary
    total = summary.total_energy_j
    energy = "" if total is None else f", {total:.6g} J in the measured windows"
    yield (
        f"{summary.completed} of {count(summary.planned, 'run')} completed, {summary.failed} "
        f"failed, {duration(summary.wall_time_s)}{energy}"
    )
    if summary.emissions_gco2 is not None:
        yield f"emissions with this machine's carbon intensity: {summary.emissions_gco2:.4g} gCO2"
    if summary.electricity_cost is not None:
        yield f"electricity at this machine's price: {summary.electricity_cost:.4g}"
