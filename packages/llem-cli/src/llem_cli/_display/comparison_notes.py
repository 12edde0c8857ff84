"""The lines that say how the points of a study compare, and what limits the comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from llem_cli._display.console import count, first_lines
from llem_cli._display.numbers import percent, plain
from llem_cli._display.study_cells import FLAG, is_best_shown, ratio_name
from llem_runner import StudyResult
from llem_runner.records import Comparisons, Drift, NeighbourEffects, PointSummary, Statistics
from llem_runner.repeats import MAX_SAID, difference_words, possible_difference

_FIRST = {
    "energy_per_output_token_j": "lowest J/output token",
    "tokens_per_second": "highest tokens/s",
}
_FIGURES = {"energy_per_output_token_j": "J/output token", "tokens_per_second": "tokens/s"}
_LARGE_CHANGE = 2.0
"""From this ratio on, a change is said as a factor."""
_MIN_RUNS_FOR_LAG1 = 10
"""With fewer runs, lag-1 autocorrelation stays below its limit even where the runs drift."""


def legend(result: StudyResult) -> Iterator[str]:
    """Yield what the columns mean."""
    points, comparisons = result.summary.points, result.summary.comparisons
    if result.schema_version == 1:
        if any(point.n_completed > 1 for point in points):
            yield "±: standard deviation over the runs of a point"
    else:
        if any(point.n_completed == 2 for point in points):
            yield "apart: distance between two runs, which are too few for a confidence interval"
        if any(point.n_completed > 2 for point in points):
            yield (
                "±: half-width of the 95 % confidence interval of the geometric mean over a "
                "point's runs, of each figure by itself; differences between cycles widen it"
            )
    n_flagged = sum(point.n_flagged for point in points)
    if n_flagged:
        yield (
            f"{FLAG}: this figure is flagged in {count(n_flagged, 'run')}: its error may be larger "
            "than stated; see the warnings"
        )
    if any(point.quality and point.quality.is_known for point in points):
        yield (
            "answers: ok if the negative log likelihood (NLL) of a fixed text is within 2 % of the "
            "best point of the same model, and that of the answers is near that of the other points"
        )
    if _has_modelled_column(points):
        yield "modelled J: an estimate from CPU time, not a measurement"
    if comparisons is not None and comparisons.points:
        yield (
            f"{ratio_name(comparisons)}: ratio to the point with the {_FIRST[comparisons.figure]}, "
            "with simultaneous 95 % confidence intervals; differences between cycles are removed"
        )
        if any(block.n_runs <= len(comparisons.points) for block in comparisons.blocks):
            yield (
                f"{_FIGURES[comparisons.figure]}: differences between blocks are removed, because "
                "not every point ran in every block (what one process ran of one cycle); the other columns are means of the runs as they were, "
                "and `llem-cli study report` removes the differences from all figures"
            )


def comparison_lines(result: StudyResult) -> Iterator[str]:
    """Yield how the points compare, and what limits the comparison."""
    summary, comparisons = result.summary, result.summary.comparisons
    if comparisons is None:
        return
    if comparisons.points:
        yield from _first(comparisons, summary.points)
        if comparisons.detectable_ratio is not None:  # files of format 1 to 3 do not have it
            yield _told(comparisons.detectable_ratio)
        yield from _noisy(summary.points, comparisons)
        n_unused = comparisons.n_unused - _n_elsewhere(comparisons, summary.points)
        if n_unused > 0:
            yield (
                f"not compared: {count(n_unused, 'run')} with a result, whose point "
                "has too few results, or which no other point shares a cycle with"
            )
    elif len(summary.points) > 1:
        yield f"points are not compared: {comparisons.reason}"
    yield from (f"warning: {sentence}" for sentence in comparisons.late_points)
    yield from _of_machines(
        [
            *comparisons.left_out_machines,
            *comparisons.left_out_blocks,
            *comparisons.distant_machines,
        ]
    )
    if any(0 < point.n_other_machine < point.n_completed for point in summary.points):
        yield (
            "the means in the table contain these runs, except those of the figure by which points are "
            "compared"
        )
    if summary.drift is not None:
        yield from _drift(summary.drift)
    if summary.neighbours is not None:
        yield from _neighbours(summary.neighbours)
    for caveat in comparisons.caveats:
        yield f"caveat: {caveat}"
    left_out = comparisons.left_out if len(summary.points) > 1 else ()
    reasons = comparisons.left_out_reasons or ("too few results",) * len(left_out)
    yield from _of_points(
        [
            f"not compared ({reason}): {label}"
            for label, reason in zip(left_out, reasons, strict=False)
        ]
    )
    yield from _precision(summary.points, comparisons.figure)


def _told(ratio: float) -> str:
    if ratio > MAX_SAID:
        return "this study cannot even tell differences of a factor of 1,000"
    return f"this study can tell differences of {difference_words(ratio)}"


def _n_elsewhere(comparisons: Comparisons, points: Sequence[PointSummary]) -> int:
    """Return the number of unused runs on another kind of machine, which have lines of their own."""
    if comparisons.n_unused_other_machine is not None:
        return comparisons.n_unused_other_machine
    return sum(point.n_other_machine for point in points)


def _has_modelled_column(points: Sequence[PointSummary]) -> bool:
    has_energy = any(point.energy_per_output_token_j for point in points)
    return not has_energy and any(point.energy_estimated_j for point in points)


def _first(comparisons: Comparisons, points: Sequence[PointSummary]) -> Iterator[str]:
    """Yield the first point, as the best one only if it is shown to be better than the others."""
    n_cycles = len({block.cycle for block in comparisons.blocks}) or comparisons.n_blocks
    for point in points:
        if point.config_hash == comparisons.reference_hash:  # it may lack runs in some cycles
            own = point.compared
            n_cycles = min(n_cycles, own.n if own else point.n_completed - point.n_other_machine)
    over = f"over {count(n_cycles, 'cycle')}"
    label, first = comparisons.reference_label, _FIRST[comparisons.figure]
    n_others = count(len(comparisons.points), "other point")
    if is_best_shown(comparisons):
        yield f"best: {label} ({first} {over})"
        yield f"{len(comparisons.points)} of {n_others} can be distinguished from it (95 % confidence)"
        return
    alike = [point for point in comparisons.points if not point.distinguishable]
    limit = possible_difference(
        min(point.ci95_low for point in alike),
        max(point.ci95_high for point in alike),
        is_above=comparisons.figure == "energy_per_output_token_j",
    )
    yield f"{first} {over}: {label}; it is not shown to be the best"
    yield (
        f"{len(alike)} of {n_others} cannot be distinguished from it (95 % confidence); {limit}"
    )  # fmt: skip


def _noisy(points: Sequence[PointSummary], comparisons: Comparisons) -> Iterator[str]:
    """Yield which points spread more than the others, which makes their intervals wider."""
    usual = comparisons.residual_cv
    if usual is None:
        return
    noisy = {
        point.label: spread
        for point in points
        if (spread := comparisons.residual_cvs.get(point.config_hash, usual)) > usual
    }
    yield from first_lines(
        (
            f"wider intervals: the runs of {label} spread by {percent(spread)}, most others by "
            f"{percent(usual)}"
            for label, spread in noisy.items()
        ),
        lambda n: f"and wider intervals of {count(n, 'other point')}",
    )


def _drift(drift: Drift) -> Iterator[str]:
    """Yield how the figure changed over the study, if it did."""
    if drift.distinguishable:
        ends = (drift.ci95_low, drift.ci95_high)
        change = _factor if max(*ends, *(1 / end for end in ends)) > _LARGE_CHANGE else _change
        yield (
            f"{_FIGURES[drift.figure]} changed by {change(drift.ratio)} from the first run to the "
            f"last ({change(ends[0])} to {change(ends[1])}, 95 % confidence); "
            "a drift, or cycles that differ by chance; this widens ±, but is removed from the ratios"
        )


def _change(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.2f} %"


def _factor(ratio: float) -> str:
    return f"a factor of {plain(ratio, 3)}"


def _precision(points: Sequence[PointSummary], figure: str) -> Iterator[str]:
    """Yield which confidence intervals are too narrow, and how many runs a narrower one needs."""
    yield from _of_points(list(_correlated(points, figure)))
    imprecise = [
        point
        for point in points
        if point.runs_needed and _n_needed(point, "1%") > point.n_completed - point.n_other_machine
    ]
    if imprecise:
        widest = max(imprecise, key=lambda point: _n_needed(point, "1%"))
        yield (
            f"a precision of ± 1 % takes {_runs_needed(widest, '1%')} of the point with the "
            f"largest spread; ± 2 % takes {_runs_needed(widest, '2%')}"
        )


def _correlated(points: Sequence[PointSummary], figure: str) -> Iterator[str]:
    for point in points:
        statistics: Statistics | None = getattr(point, figure)
        if statistics is None or statistics.lag1 is None or statistics.n < _MIN_RUNS_FOR_LAG1:
            continue
        # Independent runs stay below this limit 19 times out of 20.
        if statistics.lag1 > 2 / math.sqrt(statistics.n):
            yield (
                f"the runs of {point.label} are correlated (lag-1 autocorrelation "
                f"{statistics.lag1:.2f}): their ± is too small"
            )


def _neighbours(found: NeighbourEffects) -> Iterator[str]:
    """Yield whether runs on several GPUs disturbed one another."""
    for name, change in (("in the window", found.busy), ("at idle", found.idle)):
        if change is not None and change.is_clear:
            share = percent(abs(change.ratio - 1))
            yield (
                f"warning: runs disturb one another: beside neighbours of {found.high_w:.0f} W, a GPU draws "
                f"{share} {'more' if change.ratio > 1 else 'less'} {name} than beside neighbours of "
                f"{found.low_w:.0f} W; for exact figures, run on one GPU at a time"
            )


def _of_machines(lines: Sequence[str]) -> Iterator[str]:
    return first_lines(lines, lambda n: f"and {n} more lines like this in study_result.json")


def _of_points(lines: Iterable[str]) -> Iterator[str]:
    return first_lines(lines, lambda n: f"and {count(n, 'other point')} of this kind")


def _n_needed(point: PointSummary, half_width: str) -> float:
    return point.runs_needed[half_width] or math.inf


def _runs_needed(point: PointSummary, half_width: str) -> str:
    """Return the number of runs as a range: a few runs say little about their spread."""
    low = point.runs_needed[half_width]
    if low is None:
        return "more than 1000 runs"
    if half_width not in point.runs_needed_high:  # an old file
        return count(low, "run")
    high = point.runs_needed_high[half_width]
    if high is None:
        return f"{low} to more than 1000 runs"
    return count(low, "run") if high == low else f"{low} to {high} runs"
