"""The result of a study: a table with one row per point, followed by notes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llem_cli._display.console import print_line, say, stdout_console
from llem_cli._display.study_notes import RATIO, result_notes
from llem_runner import StudyResult
from llem_runner.records import Comparisons, PointSummary, Statistics

_UNLIMITED = 10_000  # columns
_Cell = Callable[[PointSummary], str]


def show_study_result(result: StudyResult, folder: Path, *, console: Console | None = None) -> None:
    """Print the result of a study: one row per point, how the points compare, what went wrong.

    Args:
        result: the result.
        folder: the study's folder.
        console: where to print the table; stdout if not given.
    """
    console = console or stdout_console()
    table = _table(result, numbered=False)
    unlimited = console.options.update(max_width=_UNLIMITED)
    numbered = console.measure(table, options=unlimited).maximum > console.width
    print_line(console, f"{result.study_name}: {result.status}", "bold")
    console.print(_table(result, numbered=True) if numbered else table)
    if numbered:
        say("points:")
        for number, point in enumerate(result.summary.points, 1):
            say(f"  {number}  {point.label}")
    for line in result_notes(result, folder):
        say(line)
    say(f"results: {folder}")


def _table(result: StudyResult, *, numbered: bool) -> Table:
    """Return one row per point, with numbers in place of the labels for a narrow terminal."""
    table = Table(
        box=None,
        pad_edge=False,
    )
    table.add_column("point", justify="right" if numbered else "left", no_wrap=True)
    columns = _columns(result)
    for name, _ in columns:
        is_ratio = name == RATIO  # with its interval, the only column with spaces to wrap at
        table.add_column(name, justify="right", no_wrap=not is_ratio, overflow="fold")
    for number, point in enumerate(result.summary.points, 1):
        label = str(number) if numbered else point.label
        table.add_row(Text(label), *(cell(point) for _, cell in columns))
    return table


def _columns(result: StudyResult) -> list[tuple[str, _Cell]]:
    points, compared = result.summary.points, result.summary.comparisons
    spread = _with_sd if result.schema_version == 1 else _with_interval
    columns: list[tuple[str, _Cell]] = [
        ("runs", lambda p: str(p.n_completed) + (f" ({p.n_failed} failed)" if p.n_failed else "")),
        ("tokens/s", lambda p: spread(p.tokens_per_second)),
        ("first\ntoken ms", lambda p: spread(p.time_to_first_token_s, 1e3)),
    ]
    if any(point.energy_per_output_token_j for point in points):
        columns[1:1] = [
            ("J/output\ntoken", lambda p: spread(p.energy_per_output_token_j)),
            ("error\nbound", lambda p: _share(p.energy_bound_share)),
        ]
    if any(point.energy_estimated_j for point in points):
        columns.append(("modelled\nJ", lambda p: spread(p.energy_estimated_j)))
    if compared is not None and compared.points:
        ratios = _ratios(compared)
        columns.append((RATIO, lambda p: ratios.get(p.config_hash, "-")))
    return columns


def _ratios(compared: Comparisons) -> dict[str, str]:
    """Return the ratio of each point to the best one with its interval, by hash."""
    ratios = {
        point.config_hash: f"{point.ratio:.3f} ({point.ci95_low:.3f}-{point.ci95_high:.3f})"
        for point in compared.points
    }
    if compared.reference_hash is not None:
        ratios[compared.reference_hash] = "best"
    return ratios


def _with_interval(figure: Statistics | None, scale: float = 1.0) -> str:
    """Return the mean and the half-width of its 95 % confidence interval."""
    if figure is None:
        return "missing"
    mean = _plain(figure.mean * scale, 4)
    if figure.ci95_low is None or figure.ci95_high is None:
        return mean
    # The interval of a geometric mean is asymmetric: the longer half covers both sides.
    half = max(figure.ci95_high - figure.mean, figure.mean - figure.ci95_low)
    if figure.ci95_high == figure.ci95_low:
        half = 0.0  # not the rounding error of the mean
    if half > figure.mean:
        return f"{mean} ± over 100 %"  # two runs far apart: no useful number
    return f"{mean} ± {_plain(half * scale, 2)}"


def _with_sd(figure: Statistics | None, scale: float = 1.0) -> str:
    """Return mean and standard deviation; results of format 1 have no interval."""
    if figure is None:
        return "missing"
    mean = _plain(figure.mean * scale, 4)
    return mean if figure.sd is None else f"{mean} ± {_plain(figure.sd * scale, 2)}"


def _plain(value: float, digits: int) -> str:
    """Return a number with `digits` significant digits, without an exponent below 10 million."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e7 else text


def _share(share: float | None) -> str:
    return "none" if share is None else f"{share:.2%}"
