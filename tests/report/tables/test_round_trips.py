"""Exported files read by pandas, polars, DuckDB, csv and json give the values of the study."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from report.tables.folders import study_of, write_folder

from llem_report import export, table
from llem_report._tables.table_data import TableName
from llem_report._tables.text_formats import SEPARATOR

Values = dict[str, list[Any]]
NAMES: tuple[TableName, ...] = ("runs", "requests", "points", "levels", "samples")


def values_of(found: Any) -> Values:
    return {name: found.column(name).to_pylist() for name in found.column_names}


def by_pandas(path: Path) -> Values:
    frame = pd.read_parquet(path, dtype_backend="pyarrow")
    return values_of(pa.Table.from_pandas(frame, preserve_index=False))


def by_polars(path: Path) -> Values:
    return values_of(pl.read_parquet(path).to_arrow())


def by_duckdb(path: Path) -> Values:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        reader = connection.sql(f"select * from '{path}'").arrow()
        return values_of(reader if isinstance(reader, pa.Table) else reader.read_all())


def same(expected: Any, found: Any) -> bool:
    if isinstance(expected, datetime) and isinstance(found, datetime):
        return expected == found.astimezone(UTC)
    return type(expected) is type(found) and bool(expected == found)


@pytest.mark.parametrize("read", [by_pandas, by_polars, by_duckdb])
@pytest.mark.parametrize("name", NAMES)
def test_every_column_of_a_parquet_file_has_the_values_of_the_study(
    folder: Path, tmp_path: Path, name: TableName, read: Callable[[Path], Values]
) -> None:
    path = tmp_path / f"{name}.parquet"
    export(folder, path, table=name)
    expected, found = values_of(table(folder, name)), read(path)
    assert list(found) == list(expected)
    for column, cells in expected.items():
        assert len(cells) == len(found[column])
        for cell, other in zip(cells, found[column], strict=True):
            assert same(cell, other), column


def test_the_mean_of_a_figure_leaves_out_what_is_missing(folder: Path, tmp_path: Path) -> None:
    export(folder, tmp_path / "runs.parquet")
    measured = [value for value in table(folder).column("energy_total_j").to_pylist() if value]
    with duckdb.connect() as connection:
        (mean,) = connection.sql(
            f"select avg(energy_total_j) from '{tmp_path / 'runs.parquet'}'"
        ).fetchall()[0]
    assert mean == sum(measured) / len(measured)
    assert pl.read_parquet(tmp_path / "runs.parquet")["energy_total_j"].mean() == mean


def text_of(value: Any) -> str:
    """Return a cell of CSV without its guard, as a reader gets it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list():
            return SEPARATOR.join(value)
        case datetime():
            return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
        case _:
            return str(value)


@pytest.mark.parametrize("name", NAMES)
def test_every_column_of_a_csv_file_has_the_values_of_the_study(
    folder: Path, tmp_path: Path, name: TableName
) -> None:
    path = tmp_path / f"{name}.csv"
    export(folder, path, table=name)
    assert not path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    expected = table(folder, name).to_pylist()
    assert len(found) == len(expected)
    for row, cells in zip(expected, found, strict=True):
        assert list(cells) == list(row)
        for column, value in row.items():
            cell = cells[column]
            if isinstance(value, float):
                assert float(cell) == value, column
            elif isinstance(value, str | list):
                assert cell.removeprefix("'") == text_of(value), column
            else:
                assert cell == text_of(value), column


@pytest.mark.parametrize("name", NAMES)
def test_csv_read_by_pandas_has_the_numbers(folder: Path, tmp_path: Path, name: TableName) -> None:
    path = tmp_path / f"{name}.csv"
    export(folder, path, table=name)
    frame = pd.read_csv(path)
    found = table(folder, name)
    for field in found.schema:
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type):
            for expected, cell in zip(
                found.column(field.name).to_pylist(), frame[field.name], strict=True
            ):
                assert math.isnan(cell) if expected is None else expected == cell, field.name


@pytest.mark.parametrize("name", NAMES)
def test_every_line_of_a_jsonl_file_has_all_columns_with_the_values_of_the_study(
    folder: Path, tmp_path: Path, name: TableName
) -> None:
    path = tmp_path / f"{name}.jsonl"
    export(folder, path, table=name)
    lines = path.read_text("utf-8").splitlines()
    expected = table(folder, name).to_pylist()
    assert len(lines) == len(expected)
    for row, line in zip(expected, lines, strict=True):
        found = json.loads(line)
        assert list(found) == list(row)
        for column, value in row.items():
            cell = found[column]
            if isinstance(value, datetime):
                assert datetime.fromisoformat(cell) == value
            else:
                assert same(value, cell), column


def test_two_shards_stack_by_name(folder: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "other", study_of(), ["failed", "pending"])
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for source, path in zip((folder, other), paths, strict=True):
        export(source, path)
    n_rows = 7 + 3
    assert pl.concat([pl.read_parquet(path) for path in paths], how="diagonal").height == n_rows
    assert len(pd.concat([pd.read_parquet(path) for path in paths])) == n_rows
    assert pa.concat_tables([pq.read_table(path) for path in paths], promote_options="default")
    with duckdb.connect() as connection:
        (count,) = connection.sql(
            f"select count(*) from read_parquet({[str(path) for path in paths]}, union_by_name=true)"
        ).fetchall()[0]
    assert count == n_rows


def test_the_footer_states_version_study_and_columns(folder: Path, tmp_path: Path) -> None:
    export(folder, tmp_path / "runs.parquet")
    metadata = pq.read_schema(tmp_path / "runs.parquet").metadata
    assert metadata[b"llem_schema_version"] == b"1"
    study = json.loads(metadata[b"study_resolved"])
    assert [point["n"] for point in study["experiments"]] == [1, 2, 3]
    described = json.loads(metadata[b"columns"])
    assert list(described) == table(folder).column_names
    assert described["energy_total_j"]["unit"] == "J"


def test_the_footer_has_no_path_of_the_machine(tmp_path: Path) -> None:
    study = study_of()
    paths = {"model": "/home/secret/model"}
    points = [point.model_copy(update={"paths": paths}) for point in study.experiments]
    folder = write_folder(
        tmp_path / "grid", study.model_copy(update={"experiments": tuple(points)})
    )
    assert "/home/secret" in (folder / "study_resolved.json").read_text("utf-8")
    for ending in ("parquet", "csv", "jsonl"):
        export(folder, tmp_path / f"runs.{ending}")
        assert b"/home/secret" not in (tmp_path / f"runs.{ending}").read_bytes()


def test_python_users_need_one_line_for_a_frame(folder: Path) -> None:
    assert len(table(folder, "runs").to_pandas()) == 7
    assert pl.from_arrow(table(folder, "runs")).height == 7  # type: ignore[union-attr]
    runs = table(folder, "runs")
    with duckdb.connect() as connection:
        connection.register("runs", runs)
        assert connection.sql("select count(*) from runs").fetchall() == [(7,)]
