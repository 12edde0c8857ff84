"""Folders that other people wrote: no link is followed, and their text stays text."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from report.tables.folders import sample_rows, study_of, write_folder, write_manifest

from llem_report import Export, export, table
from llem_report._tables.open_parts import MAX_COLUMNS
from llem_report._tables.text_formats import guarded
from llem_runner import read_manifest

FORMULAS = ("=1+1", "+cmd", "-2+3", "@SUM(A1)", "\n=1", "'text", "\uff1d1")
NUMBERS = ("-1", "+2.5", "-1e-05", "-.5")


def run_folder(folder: Path, index: int = 1) -> Path:
    return (folder / str(read_manifest(folder).entries[index - 1].result_file)).parent


def with_error(folder: Path, message: str) -> Path:
    entries = list(read_manifest(folder).entries)
    entries[2] = msgspec.structs.replace(entries[2], error_message=message)
    write_manifest(folder, study_of(), entries)
    return folder


def csv_rows(folder: Path, target: Path) -> list[dict[str, str]]:
    export(folder, target)
    with target.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_cell_that_begins_like_a_formula_is_text(folder: Path, tmp_path: Path) -> None:
    cells = csv_rows(with_error(folder, "=1+1"), tmp_path / "runs.csv")
    assert cells[2]["error_message"] == "'=1+1"
    assert cells[6]["problem"] == "'=cmd|not supported"
    assert cells[0]["effective.generation.seed"] == "-1"


def test_the_guard_can_be_taken_off_again_and_leaves_numbers() -> None:
    texts = [*FORMULAS, *NUMBERS, "plain", "a=b", "", None]
    guards = guarded(pa.array(texts)).to_pylist()
    assert guards == [*(f"'{text}" for text in FORMULAS), *NUMBERS, "plain", "a=b", "", None]


def test_a_negative_figure_stays_a_number(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "grid", study_of(), changed={"energy_adjusted_j": -1.5e-7})
    assert float(csv_rows(folder, tmp_path / "runs.csv")[0]["energy_adjusted_j"]) == -1.5e-7


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jred", "\\x1b[2Jred"),
        ("a\x00b", "a\\x00b"),
        ("a\r=1", "a\\r=1"),
        ("\u202eabc", "\\u202eabc"),
        ("a\nb", "a\nb"),
        ("Größe: 5 µs", "Größe: 5 µs"),
    ],
)
def test_characters_that_are_not_seen_become_their_escapes(
    folder: Path, text: str, shown: str
) -> None:
    assert table(with_error(folder, text)).column("error_message")[2].as_py() == shown


def test_a_huge_text_is_shortened(folder: Path) -> None:
    message = table(with_error(folder, "x" * 5_000_000)).column("error_message")[2].as_py()
    assert len(message) <= 32_767


def test_a_run_whose_result_is_a_link_has_no_figures(folder: Path, tmp_path: Path) -> None:
    result = run_folder(folder) / "result.json"
    result.rename(tmp_path / "elsewhere.json")
    result.symlink_to(tmp_path / "elsewhere.json")
    row = table(folder).to_pylist()[0]
    assert row["status"] == "completed"
    assert row["tokens_per_second"] is None
    assert "found a link" in row["problem"]


@pytest.mark.parametrize("name", ["requests", "samples"])
def test_a_run_whose_folder_is_a_link_has_no_rows(folder: Path, tmp_path: Path, name: Any) -> None:
    run = run_folder(folder)
    run.rename(tmp_path / "elsewhere")
    run.symlink_to(tmp_path / "elsewhere")
    assert {row["run_index"] for row in table(folder, name).to_pylist()} == {2, 5}
    assert table(folder).column("tokens_per_second")[0].as_py() is None


def test_a_damaged_result_is_one_note(folder: Path, tmp_path: Path) -> None:
    (run_folder(folder) / "result.json").write_text("{")
    exported = export(folder, tmp_path / "runs.csv")
    (note,) = exported.notes
    assert note.startswith("run 1 has no result: ")
    assert "\n" not in note


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "noise":
            middle = len(content) // 3
            path.write_bytes(content[:middle] + b"\xff" * 40 + content[middle + 40 :])
        case "link":
            path.rename(path.with_name("elsewhere"))
            path.symlink_to("elsewhere")
        case "folder":
            path.unlink()
            path.mkdir()
        case "text for numbers":
            pq.write_table(pa.table({"t_s": ["a"], "latency_s": ["b"]}), path)
        case "not UTF-8":
            bytes_ = pa.array([b"\xff\xfe"]).view(pa.string())
            pq.write_table(pa.table({"device": bytes_, "latency_s": bytes_}), path)


KINDS = ("empty", "cut", "noise", "link", "folder", "text for numbers", "not UTF-8")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_time_series_is_one_note_and_the_others_are_exported(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    damage(run_folder(folder) / "timeseries.parquet", kind)
    exported = export(folder, tmp_path / "samples.parquet", table="samples")
    assert len(exported.notes) == 1
    assert exported.notes[0].startswith("the samples of run 1 are incomplete: ")
    assert "\n" not in exported.notes[0]
    found = pq.read_table(tmp_path / "samples.parquet").column("run_index").to_pylist()
    assert [index for index in found if index != 1] == [2] * 3 + [5] * 3


def test_samples_that_are_not_finite_are_null(folder: Path) -> None:
    rows = sample_rows(3)
    bad = pa.array([float("nan"), float("inf"), 1.0])
    rows = rows.set_column(rows.column_names.index("power_w"), "power_w", bad)
    pq.write_table(rows, run_folder(folder) / "timeseries.parquet")
    found = table(folder, "samples").column("power_w").to_pylist()
    assert found[:3] == [None, None, 1.0]


def test_columns_that_llem_does_not_write_are_left_out(folder: Path) -> None:
    rows = sample_rows(3).append_column("=evil", pa.array(["x"] * 3))
    pq.write_table(rows, run_folder(folder) / "timeseries.parquet")
    assert "=evil" not in table(folder, "samples").column_names


def test_a_backend_that_reports_any_number_of_values_adds_a_limited_number_of_columns(
    tmp_path: Path,
) -> None:
    many = {f"key{number}": number for number in range(MAX_COLUMNS + 5)}
    folder = write_folder(tmp_path / "grid", study_of(), changed={"effective_config": many})
    exported: Export = export(folder, tmp_path / "runs.parquet")
    assert exported.notes == ("5 columns were left out: the study has too many",)
    names = pq.read_schema(tmp_path / "runs.parquet").names
    assert sum(name.startswith("effective.") for name in names) == MAX_COLUMNS


def test_names_of_columns_are_on_one_line(tmp_path: Path) -> None:
    nested: dict[str, Any] = {}
    for _ in range(60):
        nested = {"a": nested}
    effective = {"a\nb\x1b": 1, "x" * 500: 2, "deep": nested}
    folder = write_folder(tmp_path / "grid", study_of(), changed={"effective_config": effective})
    names = [name for name in table(folder).column_names if name.startswith("effective.")]
    assert "effective.a\\nb\\x1b" in names
    assert all(len(name) <= 220 and name.isprintable() for name in names)


def test_a_damaged_study_file_leaves_the_results(folder: Path, tmp_path: Path) -> None:
    (folder / "study_resolved.json").write_text('{"name": "x", "experiments": [1], "skipped": 3}')
    exported = export(folder, tmp_path / "runs.parquet")
    assert exported.notes[0].endswith("runs without a result have no configuration")
    rows = pq.read_table(tmp_path / "runs.parquet").to_pylist()
    # A pending run has the configuration of a completed run of its point.
    assert [row["config.n"] for row in rows] == [1, 2, None, 1, 2, None]


def test_a_folder_without_the_files_of_its_runs_is_exported(folder: Path, tmp_path: Path) -> None:
    for run in folder.glob("0*"):
        shutil.rmtree(run)
    exported = export(folder, tmp_path / "out", samples=True)
    assert [file.n_rows for file in exported.files if file.table != "runs"].count(0) >= 2
    assert len(exported.notes) == 3
