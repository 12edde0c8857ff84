"""Two studies compared, as Markdown: for a comment in a pull request.

All text of studies is in code spans, so that nothing in it is a link, an image or a mention.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from llem_cli._display.console import MAX_LINES, count
from llem_cli._display.study_comparison import (
    FACTOR_COLUMNS,
    VERDICTS,
    difference_cells,
    effect_words,
    factor_cells,
    notes,
    point_columns,
    study_line,
    unpaired_lines,
)
from llem_config.text import one_line
from llem_report.comparison_records import StudyComparison

_MARKS = {"worse": "🔴", "better": "🟢", "same": "⚪", "cannot_be_told": "❔"}
_MAX_CELL = 200  # characters


def comparison_markdown(comparisons: Sequence[StudyComparison]) -> str:
    """Return comparisons as GitHub-flavoured Markdown."""
    return "\n".join(line for comparison in comparisons for line in _lines(comparison))


def _lines(comparison: StudyComparison) -> Iterator[str]:
    base, new = comparison.base, comparison.new
    verdict = VERDICTS[comparison.verdict]
    yield f"### {_MARKS[comparison.verdict]} {_code(new.name)} against {_code(base.name)}: {verdict}"
    yield ""
    if comparison.ratio is not None:
        yield f"**{comparison.text}** (all {count(len(comparison.points), 'paired point')})"
    else:
        yield f"**{comparison.text}**"
    yield ""
    yield f"- base: {_code(study_line(base, comparison.unit))}"
    yield f"- new: {_code(study_line(new, comparison.unit))}"
    for line in notes(comparison):
        yield f"- {_code(line)}"
    if comparison.differences:
        yield from _table(
            ("differs", "base", "new"),
            (map(_code, difference_cells(each)) for each in comparison.differences),
        )
    if comparison.points:
        yield from _points(comparison)
    if comparison.factors:
        yield from _table(
            (f"factor ({effect_words(comparison)})", *FACTOR_COLUMNS[1:]),
            (
                [_code(key), base, new, _code(best), changed]
                for key, base, new, best, changed in map(factor_cells, comparison.factors)
            ),
        )
    if comparison.unpaired:
        yield ""
        yield from (f"- {_code(line)}" for line in unpaired_lines(comparison.unpaired))
    yield ""


def _points(comparison: StudyComparison) -> Iterator[str]:
    """Yield the table of points; one of many points can be folded."""
    columns = point_columns(comparison)
    points = list(
        _table(
            [name for name, _ in columns],
            (
                [_code(label), *others]
                for label, *others in (
                    [cell(point) for _, cell in columns] for point in comparison.points
                )
            ),
        )
    )
    if len(comparison.points) > MAX_LINES:
        yield from ("", "<details><summary>all points</summary>", *points, "", "</details>")
    else:
        yield from points


def _table(header: Sequence[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(header)} |"
    yield f"| {' | '.join('---' for _ in header)} |"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _code(text: str) -> str:
    r"""Return text as a code span that fits into a cell of a table; a bar is `\|` there."""
    plain = one_line(text, _MAX_CELL).replace("`", "'").replace("|", "\\|").strip()
    return f"`{plain or '-'}`"
