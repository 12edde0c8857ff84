"""The tables of points and levels: what the analysis of a study found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llem_config.text import one_line
from llem_report._analysis.analyse import analysis_of
from llem_report._analysis.subject import subject_of
from llem_report._study_data.derived_figures import POWER_LIMITED
from llem_report._study_data.figures import FIGURES, FURTHER
from llem_report._study_data.read import read_study_data
from llem_report._tables.arrays import array_of
from llem_report._tables.columns import Column, ColumnType, column
from llem_report._tables.docstrings import field_docstrings
from llem_report._tables.open_parts import MAX_COLUMNS
from llem_report._tables.run_records import StudyRecords
from llem_report._tables.table_data import TableData, TableName, metadata_of
from llem_report.records import Analysis, Interval, LevelPair, PointEstimate, PointPhase
from llem_runner.records import PointQuality

_MAX_NAME = 200
_PHASES = ("prefill", "decode")
_SOURCE = "result.json of all runs"
_Read = Callable[[Analysis, Any], Any]


class _Part(NamedTuple):
    """A column, and how to read its value from the analysis and one of its records."""

    column: Column
    read: _Read


def point_table(records: StudyRecords) -> TableData:
    """Return one row for each point of a study."""
    analysis = _analysis(records)
    keys = list(dict.fromkeys(key for point in analysis.points for key in point.levels))
    if len(keys) > MAX_COLUMNS:
        records.notes.append(f"{len(keys) - MAX_COLUMNS} factors were left out: there are too many")
    first, *others = _point_parts()
    parts = [
        *first,
        *map(_factor, keys[:MAX_COLUMNS]),
        *(part for group in others for part in group),
    ]
    return _table("points", parts, analysis, analysis.points)


def level_table(records: StudyRecords) -> TableData:
    """Return one row for each pair of levels of a factor that can be compared."""
    analysis = _analysis(records)
    return _table("levels", _level_parts(), analysis, analysis.level_pairs)


def point_columns() -> tuple[Column, ...]:
    """Return the columns of the table of points; `factor.NAME` stands for those of all factors."""
    first, *others = _point_parts()
    return tuple(
        part.column for part in (*first, _factor("NAME"), *(p for group in others for p in group))
    )


def level_columns() -> tuple[Column, ...]:
    """Return the columns of the table of levels."""
    return tuple(part.column for part in _level_parts())


def _analysis(records: StudyRecords) -> Analysis:
    data = read_study_data(records.folder)
    known = "\n".join(records.notes)
    records.notes += [problem for problem in data.problems if problem not in known]
    analysis = analysis_of(data)
    records.subject = records.subject or subject_of(analysis)
    return analysis


def _table(
    name: TableName, parts: Sequence[_Part], analysis: Analysis, rows: Sequence[Any]
) -> TableData:
    import pyarrow as pa

    arrays = [array_of(part.column, [part.read(analysis, row) for row in rows]) for part in parts]
    columns = tuple(part.column for part in parts)
    table = pa.table(arrays, names=[each.name for each in columns])
    return TableData(name, columns, iter((table,)), metadata_of(columns))


def _study_parts() -> list[_Part]:
    return [
        _part("study_name", "text", "Name of the study.", lambda a, _: a.study_name,
              source="manifest.json: study_name"),
        _part("study_design_hash", "text", "Hash of the set of points of the study.",
              lambda a, _: a.study_design_hash, source="manifest.json: study_design_hash"),
    ]  # fmt: skip


def _figure_parts() -> list[_Part]:
    return [
        _part("figure", "text", "Figure of merit, such as `energy_per_output_token_j`.",
              lambda a, _: a.figure),
        _part("unit", "text", "Unit of the figure of merit, such as `J/token`.",
              lambda a, _: a.unit),
    ]  # fmt: skip


def _point_parts() -> tuple[list[_Part], list[_Part]]:
    """Return the columns before those of the factors, and those after them."""
    manifest = "manifest.json: entries[]."
    before = [
        *_study_parts(),
        _point("config_hash", "text", "`measurement_config_hash` of the point.",
               source=f"{manifest}config_hash"),
        _point("label", "text", "The fields in which the point differs from the others.",
               source=f"{manifest}label"),
    ]  # fmt: skip
    after = [
        *_figure_parts(),
        _point("n_planned", "integer", "Number of planned runs.", source=f"{manifest}config_hash"),
        _point("n_runs", "integer", "Number of runs that have the figure of merit and are compared."),
        _point("n_other_machine", "integer", "Number of runs on another kind of machine than most: in no "
               "ratio, and in the figures only of a point that has no other runs."),
        _point("n_flagged", "integer", "Number of runs whose figure of merit is flagged."),
        _point("value", "number", "Figure of merit: geometric mean of the runs, in `unit`. If "
               "a point lacks runs in a block, the difference of the block from the others is taken out, here and "
               "in all other figures."),
        _point("ci95_low", "number", "Lower end of the 95 % interval of `value`, in `unit`; null for "
               "fewer than 3 runs."),
        _point("ci95_high", "number", "Upper end of this interval, in `unit`."),
        *_interval_parts("ratio_to_best", "`value` over that of the best point",
                         "intervals of all pairs of points hold at once",
                         lambda _, point: point.ratio_to_best),
        _point("energy_per_output_token_j", "number", "Energy per output token: geometric mean."),
        _point("tokens_per_second", "number", "Output tokens per second: geometric mean."),
        _point("tokens_per_second_low", "number", "Lower end of its 95 % interval."),
        _point("tokens_per_second_high", "number", "Upper end of its 95 % interval."),
        _point("time_to_first_token_s", "number", "Mean time to the first token: geometric mean."),
        _point("time_to_first_token_low_s", "number", "Lower end of its 95 % interval."),
        _point("time_to_first_token_high_s", "number", "Upper end of its 95 % interval."),
        _point("on_front", "boolean", "Whether no other point is better in both energy and speed."),
        _point("front_is_certain", "boolean", "Whether that holds with the intervals apart."),
        _point("on_first_token_front", "boolean",
               "Whether no other point is better in both energy and time to the first token."),
        _point("first_token_front_is_certain", "boolean",
               "Whether that holds with the intervals apart."),
        *(part for name in FURTHER for part in _further_parts(name)),
        _point(POWER_LIMITED, "number", "Share of the time at the power limit, 0 to 1: mean of the runs; "
               "null if the driver does not report it."),
        *_quality_parts(),
        *(part for phase in _PHASES for part in _roofline_parts(phase)),
    ]  # fmt: skip
    return before, after


def _quality_parts() -> list[_Part]:
    def of_answers(field: str, kind: ColumnType) -> _Part:
        def value(_: Analysis, point: PointEstimate) -> Any:
            return None if point.quality is None else getattr(point.quality, field)

        meaning = field_docstrings(PointQuality)[field]
        return _part(f"answers.{field}", kind, f"Quality of the answers: {meaning}", value)

    return [
        of_answers("nll", "number"),
        of_answers("nll_answers", "number"),
        of_answers("nll_ratio_to_best", "number"),
        of_answers("nll_answers_ratio_to_median", "number"),
        of_answers("agreement", "number"),
        of_answers("is_worse", "boolean"),
    ]


def _roofline_parts(phase: str) -> list[_Part]:
    def of_phase(field: str, kind: ColumnType) -> _Part:
        def value(_: Analysis, point: PointEstimate) -> Any:
            found = next((each for each in point.phases if each.phase == phase), None)
            known = getattr(found, field, None)
            return None if known == () else known  # no run knows it

        meaning = field_docstrings(PointPhase)[field]
        return _part(f"roofline.{phase}.{field}", kind, f"{phase.capitalize()}: {meaning}", value)

    return [of_phase("mfu", "number"), of_phase("mbu", "number"), of_phase("bound_by", "texts")]


def _level_parts() -> list[_Part]:
    levels = "study_resolved.json: factors"
    return [
        *_study_parts(),
        _part("factor", "text", "Key of the factor, as in the study file.",
              lambda _, pair: pair.factor, source=levels),
        _part("a", "text", "A level of the factor.", lambda _, pair: pair.a, source=levels),
        _part("b", "text", "Another level.", lambda _, pair: pair.b, source=levels),
        *_figure_parts(),
        *_interval_parts("ratio", "Figure of merit at `a` over that at `b`, everything else equal",
                         "intervals of all pairs of levels hold at once", _ratio),
        _part("n_contexts", "integer", "Number of combinations of the other factors in which both "
              "levels were measured.", lambda _, pair: pair.n_contexts),
        _part("n_points", "integer", "Number of points that were compared.",
              lambda _, pair: pair.n_points),
    ]  # fmt: skip


def _further_parts(name: str) -> list[_Part]:
    def end(field: str) -> _Read:
        def value(_: Analysis, point: PointEstimate) -> float | None:
            estimate = point.figures.get(name)
            return None if estimate is None else getattr(estimate, field)

        return value

    title = FIGURES[name].info.title
    return [
        _part(name, "number", f"{title[0].upper()}{title[1:]}: geometric mean.", end("value")),
        _part(f"{name}_ci95_low", "number", f"Lower end of the 95 % interval of `{name}` alone.",
              end("ci95_low")),
        _part(f"{name}_ci95_high", "number", "Upper end of this interval.", end("ci95_high")),
    ]  # fmt: skip


def _ratio(_: Analysis, pair: LevelPair) -> Interval:
    return pair.ratio


def _interval_parts(
    name: str, words: str, family: str, read: Callable[[Analysis, Any], Interval | None]
) -> list[_Part]:
    def end(field: str) -> _Read:
        def value(analysis: Analysis, row: Any) -> float | None:
            interval = read(analysis, row)
            return None if interval is None else getattr(interval, field)

        return value

    return [
        _part(name, "number", f"{words}: ratio of geometric means.", end("ratio")),
        _part(f"{name}_ci95_low", "number", f"Lower end of the 95 % interval of `{name}`: {family}.",
              end("ci95_low")),
        _part(f"{name}_ci95_high", "number", "Upper end of this interval.", end("ci95_high")),
    ]  # fmt: skip


def _factor(key: str) -> _Part:
    def read(_: Analysis, point: PointEstimate) -> str | None:
        return point.levels.get(key)

    return _part(
        f"factor.{one_line(key, _MAX_NAME)}",
        "text",
        f"Level of the factor `{one_line(key, _MAX_NAME)}`; null where it does not exist.",
        read,
        source="study_resolved.json: levels",
    )


def _point(name: str, kind: ColumnType, description: str, *, source: str = _SOURCE) -> _Part:
    return _part(name, kind, description, lambda _, point: getattr(point, name), source=source)


def _part(
    name: str, kind: ColumnType, description: str, read: _Read, *, source: str = _SOURCE
) -> _Part:
    return _Part(column(name, kind, description, source), read)
