"""Writes the tables of a study to files, or returns one of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from llem_report._errors import ReportError
from llem_report._tables.analysis_tables import level_table, point_table
from llem_report._tables.boamps import BOAMPS, boamps_report, report_name
from llem_report._tables.croissant import CROISSANT, croissant
from llem_report._tables.data_package import PACKAGE, WrittenTable, data_package, digest_of
from llem_report._tables.pending_files import PendingFiles, refuse_existing
from llem_report._tables.run_file_tables import request_table, sample_table
from llem_report._tables.run_records import StudyRecords
from llem_report._tables.runs import run_table
from llem_report._tables.table_data import TABLES, TableData, TableName
from llem_report._tables.targets import Target, check_place, parse_target
from llem_report._tables.writing import Format, write_table

_TABLES: dict[TableName, Callable[[StudyRecords], TableData]] = {
    "runs": run_table,
    "requests": request_table,
    "points": point_table,
    "levels": level_table,
    "samples": sample_table,
}


class ExportedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file with one table."""

    path: str
    table: TableName
    n_rows: int
    n_columns: int
    n_bytes: int


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    files: tuple[ExportedFile, ...]
    notes: tuple[str, ...]
    """What could not be read from the study's folder, one sentence each."""
    boamps: tuple[str, ...] = ()
    """Paths of the reports in the format BoAmps, one per run with energy."""


def export(
    folder: str | Path,
    target: str | Path,
    *,
    table: TableName | None = None,
    format: Format | None = None,  # as the flag of the command
    samples: bool = False,
    croissant: bool = False,
    boamps: bool = False,
    force: bool = False,
) -> Export:
    """Write the tables of a study, whatever its state: runs without a result have null figures.

    Args:
        folder: of the study.
        target: a file for one table, whose format is its ending (`.parquet`, `.csv`, `.jsonl`), or a
            folder for all tables and `datapackage.json`, which describes their columns.
        table: the only table to write; None: `runs` into a file, all but `samples` into a folder.
        format: of the tables in a folder; None: Parquet.
        samples: write the table of samples into the folder too; it can be large.
        croissant: describe the tables in the format Croissant too.
        boamps: write a report of each run with energy in the format BoAmps too, into `boamps/`.
        force: replace existing files.

    Returns:
        The files, and what could not be read.

    Raises:
        StudyError: `folder` holds no study, or its manifest is damaged.
        ReportError: the target exists, has an unknown ending or cannot be written; nothing was written
            then.
    """
    source = Path(folder)
    place = parse_target(target)
    _check_choices(
        place, table=table, format=format, samples=samples, croissant=croissant, boamps=boamps
    )
    records = StudyRecords(source)
    check_place(source, place)
    if place.format is not None:
        with PendingFiles(force=force) as files:
            written = _write(records, files, place.path, place.format, table or "runs")
            files.publish()
        return _exported(records, [written])
    names = [table] if table else [name for name in _TABLES if samples or name != "samples"]
    with _folder(place.path), PendingFiles(force=force) as files:
        kind = format or "parquet"
        paths = {name: place.path / f"{name}.{kind}" for name in names}
        described = [PACKAGE, *([CROISSANT] if croissant else [])]
        for path in (*paths.values(), *(place.path / name for name in described)):
            refuse_existing(path, force=force)  # before the work, which may take minutes
        tables = [_write(records, files, path, kind, name) for name, path in paths.items()]
        _describe(records, files, place.path, tables, with_croissant=croissant)
        if not boamps:
            files.publish()
            return _exported(records, tables)
        with _folder(place.path / BOAMPS):
            reports = _write_boamps(records, files, place.path / BOAMPS)
            files.publish()
    return msgspec.structs.replace(_exported(records, tables), boamps=reports)


def table(folder: str | Path, name: TableName = "runs") -> Any:
    """Return a table of a study as `pyarrow.Table`, for pandas, polars and DuckDB.

    Args:
        folder: of the study.
        name: of the table.

    Raises:
        StudyError: `folder` holds no study, or its manifest is damaged.
        ReportError: there is no such table.
    """
    import pyarrow as pa

    _check_name(name)
    data = _TABLES[name](StudyRecords(Path(folder)))
    schema = data.schema()
    tables = [each.replace_schema_metadata(schema.metadata) for each in data.batches]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _write(
    records: StudyRecords, files: PendingFiles, path: Path, kind: Format, name: TableName
) -> WrittenTable:
    data = _TABLES[name](records)
    with files.create(path) as file:
        n_rows = write_table(file, kind, data)
    n_bytes, sha256 = digest_of(files.written(path))
    return WrittenTable(
        path=path,
        table=name,
        format=kind,
        columns=data.columns,
        n_rows=n_rows,
        n_bytes=n_bytes,
        sha256=sha256,
    )


def _describe(
    records: StudyRecords,
    files: PendingFiles,
    folder: Path,
    tables: Sequence[WrittenTable],
    *,
    with_croissant: bool,
) -> None:
    documents = {PACKAGE: data_package(records.manifest, tables)}
    if with_croissant:
        documents[CROISSANT] = croissant(records.manifest, tables, records.subject)
    for name, document in documents.items():
        with files.create(folder / name) as file:
            file.write(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def _write_boamps(records: StudyRecords, files: PendingFiles, folder: Path) -> tuple[str, ...]:
    paths = []
    now = datetime.now(UTC)
    for record in records.runs():
        report = boamps_report(record, now)
        if record.entry is None or isinstance(report, str):
            run = "a point that cannot run" if record.entry is None else f"run {record.entry.index}"
            records.notes.append(f"{run} has no report for BoAmps: {report}")
            continue
        paths.append(folder / report_name(record.entry))
        with files.create(paths[-1]) as file:
            file.write(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    return tuple(map(str, paths))


def _exported(records: StudyRecords, tables: Sequence[WrittenTable]) -> Export:
    files = tuple(
        ExportedFile(
            path=str(each.path),
            table=each.table,
            n_rows=each.n_rows,
            n_columns=len(each.columns),
            n_bytes=each.n_bytes,
        )
        for each in tables
    )
    return Export(files=files, notes=tuple(dict.fromkeys(records.notes)))


@contextlib.contextmanager
def _folder(path: Path) -> Any:
    """Create a folder; if an error follows, delete it again."""
    is_new = not os.path.lexists(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReportError(f"{path} cannot be created: {error.strerror}") from error
    try:
        yield
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


def _check_choices(
    place: Target,
    *,
    table: str | None,
    format: str | None,
    samples: bool,
    croissant: bool,
    boamps: bool,
) -> None:
    if table is not None:
        _check_name(table)
    if samples and table is not None:
        raise ReportError("--samples adds a table to all others; use it without --table")
    if place.format is None:
        return
    if samples:
        raise ReportError(f"{place.path} has one table; use --table samples, or a folder")
    if croissant:
        raise ReportError(
            "--croissant describes the tables of a folder; use a folder as the target"
        )
    if boamps:
        raise ReportError("--boamps writes a folder of reports; use a folder as the target")
    if format is not None and format != place.format:
        raise ReportError(f"{place.path}: its ending is its format; use --format with a folder")


def _check_name(name: str) -> None:
    if name not in _TABLES:
        raise ReportError(f"expected one of the tables {', '.join(TABLES)}, found {name!r}")
