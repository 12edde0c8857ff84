"""Large tables are read and written in parts."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from report.tables.folders import sample_rows, study_of, write_folder

from llem_report import export
from llem_report._tables.run_file_tables import sample_table
from llem_report._tables.run_records import StudyRecords
from llem_report._tables.run_table import RunTable
from llem_runner import read_manifest

MAX_ROWS = 150_000


def test_a_long_time_series_is_never_in_memory_as_a_whole(folder: Path, tmp_path: Path) -> None:
    entry = read_manifest(folder).entries[0]
    run = (folder / str(entry.result_file)).parent
    pq.write_table(sample_rows(400_000), run / "timeseries.parquet")
    parts = [part.num_rows for part in sample_table(StudyRecords(folder)).batches]
    assert sum(parts) == 400_006
    assert max(parts) < MAX_ROWS
    export(folder, tmp_path / "samples.parquet", table="samples")
    written = pq.ParquetFile(tmp_path / "samples.parquet").metadata
    groups = [written.row_group(number).num_rows for number in range(written.num_row_groups)]
    assert sum(groups) == 400_006
    assert max(groups) <= MAX_ROWS
    assert len(groups) <= 5


def test_many_small_files_become_few_row_groups(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "grid", study_of(), ["completed"] * 300)
    export(folder, tmp_path / "requests.parquet", table="requests")
    written = pq.ParquetFile(tmp_path / "requests.parquet").metadata
    assert written.num_rows == 900
    assert written.num_row_groups == 1


def test_columns_that_only_later_runs_have_are_null_before(tmp_path: Path) -> None:
    # More runs than are kept as values of Python.
    folder = write_folder(
        tmp_path / "grid",
        study_of(),
        [*["pending"] * 2500, "completed"],
        changed={"effective_config": {"late": 7}},
    )
    builder = RunTable()
    builder.add_all(StudyRecords(folder).runs())
    values = {column.name: array.to_pylist() for column, array in builder.columns()}
    assert values["effective.late"] == [*[None] * 2500, "7", None]
    assert values["run_index"] == [*range(1, 2502), None]
