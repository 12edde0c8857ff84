"""`study export` and `schema --export`: output, files and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cli.conftest import Run
from report.tables.folders import study_of, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "grid", study_of())


def test_a_file_gets_the_runs_and_one_line_says_so(llem: Run, folder: Path, tmp_path: Path) -> None:
    done = llem("study", "export", folder, "runs.parquet")
    assert (done.returncode, done.stderr) == (0, "")
    n_columns = len(pq.read_schema(tmp_path / "runs.parquet").names)
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"runs.parquet: 7 rows, {n_columns} columns, ")


def test_json_lists_files_and_notes(llem: Run, folder: Path, tmp_path: Path) -> None:
    next(folder.glob("0001*/result.json")).write_text("{")
    done = llem("study", "export", folder, "tables/", "--samples", "--croissant", "--json")
    printed = json.loads(done.stdout)
    assert done.returncode == 0
    assert {"runs", "requests", "samples"} <= {file["table"] for file in printed["files"]}
    assert all((tmp_path / file["path"]).is_file() for file in printed["files"])
    assert (tmp_path / "tables" / "croissant.json").is_file()
    (note,) = printed["notes"]
    assert note.startswith("run 1 has no result: ")


def test_what_cannot_be_read_is_a_warning_and_no_failure(llem: Run, folder: Path) -> None:
    next(folder.glob("0001*/result.json")).write_text("{")
    done = llem("study", "export", folder, "runs.csv")
    assert done.returncode == 0
    assert "warning: run 1 has no result: " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("runs.xlsx",), 2, "error: runs.xlsx: expected a file that ends with"),
        (("grid/0001_c1_x", "--force"), 1, "error: grid/0001_c1_x: expected a target outside"),
        (("runs.csv", "--table", "run"), 2, "run"),
        ((), 2, "target"),
    ],
)
def test_a_wrong_target_is_one_sentence(
    llem: Run, folder: Path, arguments: tuple[str, ...], code: int, problem: str
) -> None:
    done = llem("study", "export", folder, *arguments)
    assert done.returncode == code
    assert problem.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_an_existing_file_needs_force(llem: Run, folder: Path) -> None:
    assert llem("study", "export", folder, "runs.csv").returncode == 0
    again = llem("study", "export", folder, "runs.csv")
    assert again.returncode == 1
    assert again.stderr.startswith("error: runs.csv exists; use another name, or --force")
    assert llem("study", "export", folder, "runs.csv", "--force").returncode == 0


def test_a_folder_without_a_study_is_one_sentence(llem: Run, tmp_path: Path) -> None:
    done = llem("study", "export", tmp_path / "absent", "runs.csv")
    assert done.returncode == 2
    assert (
        "absent: expected the folder or the archive of a study, found no such folder" in done.stderr
    )


def test_schema_export_prints_the_columns_of_the_tables(llem: Run) -> None:
    done = llem("schema", "--export")
    tables = json.loads(done.stdout)["tables"]
    columns = {column["name"]: column for column in tables["runs"]["columns"]}
    assert columns["energy_per_output_token_j"]["unit"] == "J/token"
    assert columns["config.pytorch.batch_size"]["type"] == "integer"
    assert "factor.NAME" in columns
    assert {"requests", "samples"} <= set(tables)
