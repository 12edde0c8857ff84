"""Two studies compared, as text: what differs between the machines, then all points, then each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from llem_cli._display.console import (
    add_row,
    count,
    first_lines,
    plain_table,
    print_line,
    print_table,
    say,
    stdout_console,
)
from llem_cli._display.numbers import plain, ratio_text
from llem_cli._display.point_names import print_rows
from llem_report.comparison_records import (
    ComparedStudy,
    EnvironmentDifference,
    FactorComparison,
    PointComparison,
    StudyComparison,
    StudyVerdict,
    UnpairedPoint,
)
from llem_report.records import Interval
from llem_runner.repeats import interval_text

VERDICTS: dict[StudyVerdict, str] = {
    "worse": "worse",
    "better": "better",
    "same": "same",
    "cannot_be_told": "cannot be told",
}
NONE = "not reported"
FACTOR_COLUMNS = ("factor", "base", "new", "best", "changed")

_Column = tuple[str, Callable[[PointComparison], str]]


def show_comparison(
    comparison: StudyComparison, levels: Mapping[str, Mapping[str, str]] | None = None
) -> None:
    """Print a comparison of two studies.

    Args:
        comparison: of the studies.
        levels: of each factor, by the hash of a point of the new study; None if they cannot be read.
    """
    print_line(stdout_console(), title(comparison), "bold")
    for name, study in (("base", comparison.base), ("new", comparison.new)):
        say(f"{name}: {study_line(study, comparison.unit)}")
    if comparison.differences:
        say("differs between the studies:")
        _show_rows(("what", "base", "new"), map(difference_cells, comparison.differences))
    else:
        say("machine, software and protocol are the same")
    if comparison.ratio is not None:
        say(f"all {count(len(comparison.points), 'paired point')}: {comparison.text}")
    for line in notes(comparison):
        say(line)
    if comparison.points:
        _, *columns = point_columns(comparison)  # without the label
        print_rows(
            [
                (point.config_hash, (), [cell(point) for _, cell in columns])
                for point in comparison.points
            ],
            ((), [name for name, _ in columns]),
            levels or {},
            {point.config_hash: point.label for point in comparison.points},
            stdout_console(),
        )
    if comparison.factors:
        say(f"effect of each factor, {effect_words(comparison)}:")
        _show_rows(FACTOR_COLUMNS, map(factor_cells, comparison.factors), whole=("factor", "best"))
    for line in unpaired_lines(comparison.unpaired):
        say(line)


def effect_words(comparison: StudyComparison) -> str:
    """Return of which levels an effect is the ratio, so that it is at least 1."""
    return "worst level over best" if comparison.lower_is_better else "best level over worst"


def title(comparison: StudyComparison) -> str:
    """Return the verdict in one line."""
    return f"{comparison.new.name} against {comparison.base.name}: {VERDICTS[comparison.verdict]}"


def study_line(study: ComparedStudy, unit: str) -> str:
    """Return what was compared of a study."""
    mean = "" if study.mean is None else f"{plain(study.mean, 4)} {unit}, "
    return (
        f"{study.folder} ({mean}{count(study.n_cycles, 'complete cycle')}, "
        f"{count(study.n_runs, 'run')})"
    )


def notes(comparison: StudyComparison) -> Iterator[str]:
    """Yield why there is no verdict, and what the intervals do not cover."""
    if comparison.reason is not None:
        yield f"cannot be told: {comparison.reason}"
    if comparison.ignored:
        yield f"paired points may differ in {', '.join(comparison.ignored)}"
    for caveat in comparison.caveats:
        yield f"caveat: {caveat}"


def point_columns(comparison: StudyComparison) -> Sequence[_Column]:
    """Return the columns of the table of points."""
    del comparison
    return (
        ("point", lambda point: point.label),
        ("new/base", lambda point: ratio(point.ratio)),
        ("over all points", lambda point: ratio(point.ratio_to_overall)),
        ("runs", lambda point: f"{point.n_base}, {point.n_new}"),
        ("verdict", lambda point: VERDICTS[point.verdict]),
    )


def ratio(interval: Interval | None) -> str:
    """Return a ratio with its interval."""
    if interval is None:
        return "-"
    text = ratio_text(interval.ratio)
    if interval.ci95_low is None or interval.ci95_high is None:
        return text
    return f"{text} ({interval_text(interval.ci95_low, interval.ci95_high, ratio_text)})"


def difference_cells(difference: EnvironmentDifference) -> tuple[str, str, str]:
    """Return a property and its values in both studies."""
    values = (", ".join(values) or NONE for values in (difference.base, difference.new))
    return (difference.what, *values)  # type: ignore[return-value]


def factor_cells(factor: FactorComparison) -> tuple[str, str, str, str, str]:
    """Return a factor, its effect in both studies, its best levels, and whether it changed."""
    changed = {True: "yes", False: "not shown", None: "cannot be told"}[factor.changed]
    levels = dict.fromkeys(level or "-" for level in (factor.base_best, factor.new_best))
    return factor.key, ratio(factor.base), ratio(factor.new), ", ".join(levels), changed


def unpaired_lines(points: Sequence[UnpairedPoint]) -> Iterator[str]:
    """Yield the points without a partner, each with its nearest point."""
    return first_lines(
        map(_unpaired_line, points),
        lambda n: f"and {count(n, 'other point')} without a partner",
    )


def _unpaired_line(point: UnpairedPoint) -> str:
    line = f"not paired, in {point.study}: {point.label} ({point.reason}"
    if point.nearest is not None:
        fields = ", ".join(
            f"{each.field}: {each.base or 'not set'} in base, {each.new or 'not set'} in new"
            for each in point.differences
        )
        line += f"; nearest: {point.nearest}; {fields}"
    return f"{line})"


def _show_rows(
    header: Sequence[str], rows: Iterator[Sequence[str]], *, whole: Sequence[str] = ()
) -> None:
    """Print a table; the cells of the columns in `whole` are not divided."""
    table = plain_table()
    for name in header:
        table.add_column(name, overflow="fold", no_wrap=name in whole)
    for row in rows:
        add_row(table, row)
    print_table(table)
