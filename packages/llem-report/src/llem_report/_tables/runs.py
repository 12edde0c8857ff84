"""The table of runs, with the study that it belongs to in its metadata."""

from __future__ import annotations

from typing import Any

import msgspec

from llem_report._tables.arrays import array_of
from llem_report._tables.columns import Column
from llem_report._tables.run_parts import OTHER_MACHINE
from llem_report._tables.run_records import StudyRecords
from llem_report._tables.run_table import RunTable
from llem_report._tables.table_data import TableData, metadata_of


def run_table(records: StudyRecords) -> TableData:
    """Return one row for each planned run, and for each point that its backend cannot run."""
    import pyarrow as pa

    builder = RunTable()
    builder.add_all(records.runs())
    pairs = _with_other_machines(builder.columns(), records)
    if builder.n_left_out:
        records.notes.append(f"{builder.n_left_out} columns were left out: the study has too many")
    columns = tuple(column for column, _ in pairs)
    study = msgspec.json.encode(_without_paths(records.resolved)).decode()
    metadata = metadata_of(columns, study_resolved=study)
    table = pa.table([values for _, values in pairs], names=[column.name for column in columns])
    return TableData("runs", columns, iter((table,)), metadata)


def _with_other_machines(
    pairs: list[tuple[Column, Any]], records: StudyRecords
) -> list[tuple[Column, Any]]:
    """Return the columns with the one that is known once all runs have been read."""
    reasons = records.other_machines()
    indices = [entry.index for entry in records.entries]
    values = [reasons.get(index) for index in indices]
    values += [None] * (len(pairs[0][1]) - len(values))  # points that cannot run
    return [
        (each, array_of(each, values) if each.name == OTHER_MACHINE else array)
        for each, array in pairs
    ]


def _without_paths(resolved: dict[str, Any]) -> dict[str, Any]:
    """Return a resolved study without the full paths of its machine and without null fields."""
    experiments = resolved.get("experiments")
    if not isinstance(experiments, list):
        return resolved
    return resolved | {"experiments": [_set_fields(each, ("paths",)) for each in experiments]}


def _set_fields(data: Any, left_out: tuple[str, ...] = ()) -> Any:
    if not isinstance(data, dict):
        return data
    return {
        key: _set_fields(value)
        for key, value in data.items()
        if value is not None and key not in left_out
    }
