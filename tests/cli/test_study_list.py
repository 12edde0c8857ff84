"""`study list` and `study show` without a folder: the studies in the folder for results, newest first."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from cli.conftest import Run
from fakes.results import make_result
from fakes.shard_studies import divided
from fakes.studies import only_folder, study

from llem_config import ExperimentConfig
from llem_energy import ExperimentResult
from llem_runner import run_study
from llem_runner.executors import InlineExecutor
from llem_runner.shards import run_shard


def measured(config: ExperimentConfig, **_: object) -> ExperimentResult:
    return make_result(config)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Return the folder of a completed study in `results`."""
    run_study(
        study((1, 2)), output=tmp_path / "results", measure=measured, executor=InlineExecutor()
    )
    return only_folder(tmp_path / "results")


def copied(folder: Path, name: str, started_at: str, **changes: object) -> Path:
    """Return a copy of a study that was started at another time."""
    copy = folder.with_name(name)
    shutil.copytree(folder, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest |= {"started_at": started_at, **changes}
    for start in manifest["starts"]:
        start["started_at"] = started_at
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def test_the_list_has_the_newest_study_first(llem: Run, first: Path) -> None:
    copied(first, "a_old", "2001-01-01T00:00:00+00:00", status="interrupted")
    copied(first, "b_new", "2100-01-01T00:00:00+00:00", status="running")
    (first.with_name("c_damaged")).mkdir()
    (first.with_name("c_damaged") / "manifest.json").write_text("{")
    (first.with_name("no_study")).mkdir()
    listed = json.loads(llem("study", "list", "--json").stdout)
    assert listed["folder"] == "results"
    states = [(Path(each["folder"]).name, each["state"]) for each in listed["studies"]]
    assert states == [
        ("b_new", "stopped"),  # its process is dead
        (first.name, "completed"),
        ("a_old", "interrupted"),
        ("c_damaged", "unreadable"),
    ]
    printed = llem("study", "list").stdout
    rows = [line.split() for line in printed.splitlines()]
    assert rows[0] == ["started", "state", "points", "runs", "folder"]
    assert rows[2][2:] == ["completed", "2", "2/2", f"results/{first.name}"]
    assert "warning: results/c_damaged/manifest.json" in printed
    assert "4 studies in results" in printed


def test_the_last_start_counts_not_the_first(llem: Run, first: Path) -> None:
    old = copied(first, "a_old", "2001-01-01T00:00:00+00:00")
    manifest = json.loads((old / "manifest.json").read_text())
    manifest["starts"][0]["started_at"] = "2100-01-01T00:00:00+00:00"
    (old / "manifest.json").write_text(json.dumps(manifest))
    assert llem("study", "list").stdout.splitlines()[1].split()[-1] == "results/a_old"


def test_a_divided_study_is_not_started_until_a_shard_begins(llem: Run, tmp_path: Path) -> None:
    plan = divided(tmp_path / "results", 2, 2, 1)
    row = llem("study", "list").stdout.splitlines()[1]
    assert row.split() == ["-", "not", "started", "2", "0/4", f"results/{plan.folder.name}"]
    run_shard(plan.folder, 1, executor=InlineExecutor(), measure=measured)
    assert llem("study", "list").stdout.splitlines()[1].split()[2:4] == ["interrupted", "2"]


def test_show_without_a_folder_shows_the_only_study(llem: Run, first: Path) -> None:
    done = llem("study", "show")
    assert done.returncode == 0, done.stderr
    assert done.stdout == llem("study", "show", f"results/{first.name}").stdout
    assert "latest" not in done.stderr


def test_show_without_a_folder_shows_the_latest_study_and_says_so(llem: Run, first: Path) -> None:
    copied(first, "b_new", "2100-01-01T00:00:00+00:00")
    done = llem("study", "show")
    assert "results: results/b_new" in done.stdout
    assert "results/b_new: the latest of 2 studies; `llem-cli study list` lists them" in done.stderr


def test_show_in_the_folder_of_a_study_shows_it(llem: Run, first: Path, tmp_path: Path) -> None:
    for path in first.iterdir():
        shutil.move(path, tmp_path / path.name)
    done = llem("study", "show")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs completed" in done.stdout


@pytest.mark.parametrize("command", ["show", "list"])
def test_without_a_study_one_sentence_says_where_it_was_expected(llem: Run, command: str) -> None:
    done = llem("study", command)
    assert done.returncode == 1
    assert done.stderr == (
        "error: results: expected a folder with studies, found no such folder; `llem-cli study run "
        "FILE` runs one, and its output names the folder\n"
    )


def test_a_named_folder_that_does_not_exist_is_a_usage_error(llem: Run, tmp_path: Path) -> None:
    done = llem("study", "list", "nosuch")
    assert done.returncode == 2
    assert "nosuch: expected a folder with studies, found no such folder" in done.stderr
    (tmp_path / "file").touch()
    assert "found a file" in llem("study", "list", "file").stderr


@pytest.mark.parametrize("command", ["report", "archive", "verify", "resume"])
def test_a_command_without_its_folder_names_the_list(llem: Run, command: str) -> None:
    done = llem("study", command)
    assert done.returncode == 2
    assert re.search(r"requires an argument\. `llem-cli study list` lists", done.stderr)
