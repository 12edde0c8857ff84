"""`study merge`, and what the other commands make of a merged folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Run
from report.comparison.folders import make_folder

from llem_report._study_data.read import read_study_data
from llem_runner import merge_studies

METERED: dict[str, Any] = {"energy_per_device_j": {"GPU-1": 100.0}}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    results = tmp_path_factory.mktemp("results")
    first = make_folder(results, 1, cycles=3, **METERED)
    return first, make_folder(results, 2, cycles=3, **METERED)


@pytest.fixture(scope="module")
def merged(shards: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("merged") / "study"
    merge_studies(out, shards)
    return out


def test_merge_prints_the_folder_and_its_shards(
    llem: Run, shards: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "study"
    done = llem("study", "merge", out, *shards)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{out}: 4 points, 24 runs, 24 completed" in done.stdout.replace("\n", " ")
    assert f"shard 2: {shards[1].name}" in done.stdout


def test_show_and_export_work_on_a_merged_folder(llem: Run, merged: Path, tmp_path: Path) -> None:
    shown = llem("study", "show", merged, "--json")
    assert shown.returncode == 0
    data = json.loads(shown.stdout)
    assert (data["warnings"], data["running"]) == ([], False)
    assert data["result"]["summary"]["completed"] == 24
    assert data["result"]["summary"]["comparisons"]["n_blocks"] == 6
    text = llem("study", "show", merged)
    assert text.returncode == 0
    assert "warning" not in text.stdout
    assert "merged from 2 folders: test_" in text.stdout
    exported = llem("study", "export", merged, tmp_path / "runs.csv")
    assert exported.returncode == 0
    with (tmp_path / "runs.csv").open(newline="") as file:
        shards = [row["shard"] for row in csv.DictReader(file)]
    assert shards == ["1"] * 12 + ["2"] * 12


def test_a_report_of_a_merged_folder_has_the_runs_of_all_shards(
    llem: Run, merged: Path, tmp_path: Path
) -> None:
    done = llem("study", "report", merged, "--output", tmp_path / "report.html", "--static")
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "report.html").read_text()
    assert "All 24 runs" in page
    assert "<dt>merged from</dt><dd>1. test_" in page


def test_a_merged_study_has_a_block_for_each_cycle_of_each_shard(merged: Path) -> None:
    data = read_study_data(merged)
    assert {(run.shard, run.cycle) for run in data.runs} == {
        (1, 1), (1, 2), (1, 3), (2, 4), (2, 5), (2, 6),
    }  # fmt: skip
    assert data.caveats == ()
    assert data.reason is None


def test_a_merged_study_compares_with_another_one_but_not_with_its_own_shard(
    llem: Run, merged: Path, shards: tuple[Path, Path], tmp_path: Path
) -> None:
    worse = make_folder(tmp_path, 3, factor=1.05, **METERED)
    done = llem("study", "compare", merged, worse, "--fail-above", "2%", "--json")
    assert done.returncode == 3
    (comparison,) = json.loads(done.stdout)["comparisons"]
    assert (comparison["base"]["n_cycles"], comparison["base"]["n_runs"]) == (6, 24)
    done = llem("study", "compare", merged, shards[0])
    assert "12 runs are in both studies" in done.stdout.replace("\n", " ")
    same = llem("study", "compare", merged, merged)
    assert "both folders hold the same runs" in same.stdout


def test_a_resume_of_a_merged_folder_says_why_not(llem: Run, merged: Path) -> None:
    done = llem("study", "resume", merged)
    assert done.returncode == 1
    assert "was merged from 2 folders and cannot be continued" in done.stderr.replace("\n", " ")


def test_wrong_arguments_exit_with_2_and_folders_that_do_not_fit_with_1(
    llem: Run, shards: tuple[Path, Path], tmp_path: Path
) -> None:
    done = llem("study", "merge", tmp_path / "out", shards[0])
    assert done.returncode == 2
    assert "expected at least 2 folders to merge, found 1" in done.stderr
    done = llem("study", "merge", tmp_path / "out", shards[0], tmp_path / "absent")
    assert done.returncode == 2
    assert "expected the folder of a study, found no such folder" in done.stderr
    done = llem("study", "merge", shards[1], *shards)
    assert done.returncode == 1
    assert "expected the name of a new folder" in done.stderr
    done = llem("study", "merge", tmp_path / "out", shards[0], shards[0], "--json")
    assert done.returncode == 2
    assert "expected each folder once, found" in done.stderr
    link = tmp_path / "link"
    link.symlink_to(shards[0])
    done = llem("study", "merge", tmp_path / "out", shards[0], link)
    assert done.returncode == 2
    assert "twice, also as" in done.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()
