"""Tables of requests and samples: the Parquet files of all runs, one after the other.

The files are read and written in parts, so that memory is bounded for a study of any size. They may be
from other people: no link is followed, and of each file only the known columns are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from llem_config.foreign_files import ForeignFileError
from llem_config.text import one_line
from llem_energy.records import Request
from llem_energy.sources import Sample
from llem_report._errors import ReportError
from llem_report._tables.arrays import clean_text
from llem_report._tables.columns import Column, arrow_type, column
from llem_report._tables.run_records import StudyRecords
from llem_report._tables.struct_columns import struct_part
from llem_report._tables.table_data import TableData, TableName, metadata_of
from llem_runner.records import ManifestEntry, StudyManifest
from llem_runner.run_files import opened_run_file

MAX_ROWS = 100_000_000
"""Of the file of one run: eight devices for a week."""
_BATCH_ROWS = 65_536
_BUFFER_BYTES = 2**20
_READ_DURATION = "read_duration_s"  # a field of a sample that the file calls `bracket_s`

_Derived = Callable[[Any, dict[bytes, bytes]], Any]


def request_columns() -> tuple[Column, ...]:
    """Return the columns of the table of requests."""
    part = struct_part(Request, lambda request: request, source="requests.parquet: ")
    return (*_run_columns(), *part.columns)


def sample_columns() -> tuple[Column, ...]:
    """Return the columns of the table of samples."""
    part = struct_part(Sample, lambda sample: sample, source="timeseries.parquet: ")
    fields = {each.name: each for each in part.columns}
    duration = fields.pop(_READ_DURATION)
    del fields["throttle_reasons"]  # names in a sample, a number in the file
    source = "timeseries.parquet: "
    return (
        *_run_columns(),
        column("sampled_at", "time", "Time of the reading, by the clock of the machine.",
               f"{source}t_s, and wall_offset_s in its metadata"),
        fields.pop("t_s"),
        fields.pop("device"),
        column("phase", "text", "What the run was doing, such as `window`.", f"{source}phase"),
        *fields.values(),
        column("throttle_reasons", "integer",
               "Why the device was slowed down: a bit mask, as NVML defines it.",
               f"{source}throttle_reasons"),
        column("bracket_s", "number", duration.description, f"{source}bracket_s"),
    )  # fmt: skip


def request_table(records: StudyRecords) -> TableData:
    """Return the requests of all completed runs."""
    return _table(records, "requests", request_columns(), "requests.parquet", {})


def sample_table(records: StudyRecords) -> TableData:
    """Return the samples of all completed runs."""
    derived: dict[str, _Derived] = {"sampled_at": _sampled_at}
    return _table(records, "samples", sample_columns(), "timeseries.parquet", derived)


def samples_of_run(path: Path, names: Sequence[str]) -> Iterator[Any]:
    """Yield the samples of one run, in parts, as `pyarrow.Table`.

    Args:
        path: of its `timeseries.parquet`.
        names: of columns of the table `samples` that the file has itself.

    Raises:
        ForeignFileError: the file is a link, or cannot be opened.
        ReportError: the file is damaged.
    """
    columns = tuple(each for each in sample_columns() if each.name in names)
    yield from _batches(path, columns, {}, {})


def _run_columns() -> tuple[Column, ...]:
    study = struct_part(
        StudyManifest,
        lambda manifest: manifest,
        source="manifest.json: ",
        names=("study_name", "study_design_hash"),
    )
    entry = struct_part(
        ManifestEntry,
        lambda entry: entry,
        source="manifest.json: entries[].",
        names=("index", "cycle", "config_hash"),
    )
    index, *others = entry.columns
    return (*study.columns, msgspec.structs.replace(index, name="run_index"), *others)


def _table(
    records: StudyRecords,
    name: TableName,
    columns: tuple[Column, ...],
    file_name: str,
    derived: dict[str, _Derived],
) -> TableData:
    def batches() -> Iterator[Any]:
        for entry in records.entries:
            path = records.run_file(entry, file_name)
            if path is None:
                continue
            given = {
                "study_name": records.manifest.study_name,
                "study_design_hash": records.manifest.study_design_hash,
                "run_index": entry.index,
                "cycle": entry.cycle,
                "config_hash": entry.config_hash,
            }
            try:
                yield from _batches(path, columns, given, derived)
            except (ReportError, ForeignFileError) as error:
                records.notes.append(f"the {name} of run {entry.index} are incomplete: {error}")

    return TableData(name, columns, batches(), metadata_of(columns))


def _batches(
    path: Path, columns: tuple[Column, ...], given: dict[str, Any], derived: dict[str, _Derived]
) -> Iterator[Any]:
    """Yield the rows of one file with all columns.

    Raises:
        ForeignFileError: the file is a link, or cannot be opened.
        ReportError: the file is damaged, or a column has another type than it should.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(each.name, arrow_type(each.type)) for each in columns])
    try:
        with (
            opened_run_file(path) as content,
            pq.ParquetFile(content, buffer_size=_BUFFER_BYTES) as file,
        ):
            if file.metadata.num_rows > MAX_ROWS:
                raise ReportError(f"{path}: expected at most {MAX_ROWS:,} rows, found more")
            names = [each.name for each in columns if each.name in file.schema_arrow.names]
            metadata = file.schema_arrow.metadata or {}
            for batch in file.iter_batches(_BATCH_ROWS, columns=names):
                arrays = [_values(each, batch, given, derived, metadata) for each in columns]
                yield pa.Table.from_arrays(arrays, schema=schema)
    except (pa.ArrowException, ValueError, OverflowError, MemoryError, OSError) as error:
        problem = one_line(" ".join(str(error).split()), 200)
        raise ReportError(f"{path}: damaged: {problem}") from error


def _values(
    each: Column,
    batch: Any,
    given: dict[str, Any],
    derived: dict[str, _Derived],
    metadata: dict[bytes, bytes],
) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = arrow_type(each.type)
    if each.name in given:
        return pa.repeat(pa.scalar(given[each.name], kind), batch.num_rows)
    if each.name in derived:
        return derived[each.name](batch, metadata)
    if each.name not in batch.schema.names:
        return pa.nulls(batch.num_rows, kind)
    values = batch.column(each.name)
    if each.type == "text":
        encoded = pc.dictionary_encode(values.cast(kind))
        texts = pa.array(map(clean_text, encoded.dictionary.to_pylist()), kind)
        return texts.take(encoded.indices)
    values = values.cast(kind)
    if each.type == "number":
        return pc.if_else(pc.is_finite(values), values, pa.scalar(None, kind))
    return values


def _sampled_at(batch: Any, metadata: dict[bytes, bytes]) -> Any:
    """Return the time of each sample in UTC; null if the file does not state the offset."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = arrow_type("time")
    try:
        offset_s = float(metadata[b"wall_offset_s"])
        microseconds = pc.round(pc.multiply(pc.add(batch.column("t_s"), offset_s), 1e6))
        return microseconds.cast(pa.int64()).cast(kind)
    except (KeyError, ValueError, pa.ArrowException):
        return pa.nulls(batch.num_rows, kind)
