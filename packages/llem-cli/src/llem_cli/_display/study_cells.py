"""The columns of the table of a study's result, and the text of its cells."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from llem_cli._display.numbers import percent, plain, ratio_text
from llem_runner import StudyResult
from llem_runner.records import Comparisons, PointSummary, Statistics
from llem_runner.repeats import interval_text

FLAG = "*"
"""Marks the figure of a point with flagged runs."""
NOT_RUN = "not run yet"
_WIDE = 10.0
"""High over low end of an interval that is too wide for the usual three decimals."""


class Column(NamedTuple):
    """One column of the table."""

    name: str
    cell: Callable[[PointSummary], str]
    is_main: bool = False
    """Whether it is about the figure by which points are compared."""
    is_wrapped: bool = False


def ratio_name(comparisons: Comparisons) -> str:
    """Return the name of the column with the ratios."""
    return "x lowest" if comparisons.figure == "energy_per_output_token_j" else "x highest"


def is_best_shown(comparisons: Comparisons) -> bool:
    """Return whether the reference is shown to be better than every other compared point."""
    return bool(comparisons.points) and all(p.distinguishable for p in comparisons.points)


def rows(result: StudyResult) -> list[PointSummary]:
    """Return the points: those that are compared first, the best first; then the others."""
    comparisons = result.summary.comparisons
    if comparisons is None or not comparisons.points:
        return list(result.summary.points)
    ranked = (comparisons.reference_hash, *(point.config_hash for point in comparisons.points))
    places = {point: place for place, point in enumerate(ranked)}
    return sorted(result.summary.points, key=lambda p: places.get(p.config_hash, len(places)))


def figure_columns(result: StudyResult) -> list[Column]:
    """Return the columns of the figures; a modelled energy only where nothing was measured."""
    points, compared = result.summary.points, result.summary.comparisons
    spread = _with_sd if result.schema_version == 1 else _with_interval
    has_energy = any(point.energy_per_output_token_j for point in points)

    def column(name: str, figure: str, scale: float = 1.0) -> Column:
        is_main = figure == (
            "energy_per_output_token_j" if has_energy else "tokens_per_second"
        )  # fmt: skip

        def cell(point: PointSummary) -> str:
            # The ratios are those of the compared cycles, so the figure must be of these too.
            over_cycles = point.compared if is_main and point.compared else None
            text = _or_reason(point, over_cycles or getattr(point, figure), spread, scale)
            return f"{text} {FLAG}" if is_main and point.n_flagged else text

        return Column(name, cell, is_main)

    columns = [Column("runs", _runs)]
    if has_energy:
        columns += [
            column("J/output\ntoken", "energy_per_output_token_j"),
            Column("error\nbound", _bound),
        ]
    if any(point.energy_per_output_token_with_host_j for point in points):
        columns.append(column("with\nhost", "energy_per_output_token_with_host_j"))
    columns += [
        column("tokens/s", "tokens_per_second"),
        column("first\ntoken ms", "time_to_first_token_s", 1e3),
    ]
    if not has_energy and any(point.energy_estimated_j for point in points):
        columns.append(column("modelled\nJ", "energy_estimated_j"))
    if any(point.quality and point.quality.is_known for point in points):
        columns.append(Column("answers", _answers))
    if compared is not None and compared.points:
        ratios = _ratios(compared)
        columns.append(
            Column(
                ratio_name(compared),
                lambda p: ratios.get(p.config_hash, "-"),
                is_main=True,
                is_wrapped=True,
            )
        )
    return columns


def _runs(point: PointSummary) -> str:
    n_planned = point.n_planned or point.n_completed
    of = f" of {n_planned}" if n_planned > point.n_completed else ""
    notes = [f"{point.n_failed} failed"] if point.n_failed else []
    if point.n_other_machine:
        notes.append(f"{point.n_other_machine} elsewhere")
    return f"{point.n_completed}{of}" + (f" ({', '.join(notes)})" if notes else "")


def _answers(point: PointSummary) -> str:
    """Return whether the answers of a point are worse than those of the best point of its model."""
    quality = point.quality
    if quality is None or (quality.nll_ratio_to_best is None and not quality.is_worse):
        return "-"
    return quality.mark or "ok"


def _ratios(compared: Comparisons) -> dict[str, str]:
    """Return the ratio of each point to the first one with its interval, by hash."""
    ratios = {
        point.config_hash: _ratio(point.ratio, point.ci95_low, point.ci95_high)
        for point in compared.points
    }
    if compared.reference_hash is not None:
        ratios[compared.reference_hash] = "best" if is_best_shown(compared) else "1"
    return ratios


def _ratio(ratio: float, low: float, high: float) -> str:
    """Return a ratio with its interval; two digits where the interval is so wide that more say nothing."""
    text = _rough if high > _WIDE * low else ratio_text
    return f"{text(ratio)} ({interval_text(low, high, text)})"


def _rough(ratio: float) -> str:
    """Return a ratio with two digits, without an exponent below a million."""
    if 10 <= ratio < 1e6:
        return f"{ratio:.0f}"
    return f"{ratio:#.2g}".rstrip(".")


def _or_reason(
    point: PointSummary,
    figure: Statistics | None,
    spread: Callable[[Statistics, float], str],
    scale: float,
) -> str:
    """Return a figure with its spread, or why there is none."""
    if figure is not None:
        return spread(figure, scale)
    if point.n_completed:
        return "missing"
    return "failed" if point.n_failed else NOT_RUN


def _with_interval(figure: Statistics, scale: float) -> str:
    """Return the geometric mean and the half-width of its 95 % confidence interval."""
    centre = figure.mean if figure.geometric_mean is None else figure.geometric_mean
    mean = plain(centre * scale, 4)
    if figure.n == 2 and figure.sd is not None and figure.mean > 0:
        return f"{mean} ({percent(math.sqrt(2) * figure.sd / figure.mean)} apart)"
    if figure.ci95_low is None or figure.ci95_high is None:
        return mean
    # The interval of a geometric mean is asymmetric: the longer half covers both sides.
    half = max(figure.ci95_high - centre, centre - figure.ci95_low)
    if figure.ci95_high == figure.ci95_low:
        half = 0.0  # not the rounding error of the mean
    if half > centre:
        return f"{plain(centre * scale, 2)} ± >100 %"  # runs far apart: no useful number
    return f"{mean} ± {plain(half * scale, 2)}"


def _with_sd(figure: Statistics, scale: float) -> str:
    """Return mean and standard deviation; results of format 1 have no interval."""
    mean = plain(figure.mean * scale, 4)
    return mean if figure.sd is None else f"{mean} ± {plain(figure.sd * scale, 2)}"


def _bound(point: PointSummary) -> str:
    """Return the largest error bound of the runs as a share."""
    if not point.n_completed:
        return "-"
    return "none" if point.energy_bound_share is None else f"{point.energy_bound_share:.2%}"
