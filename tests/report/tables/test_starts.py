"""Every exported run names the start that measured it, and the commit of llem at that start (RES-14)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.results import make_result
from fakes.studies import only_folder, study

from llem_config import ExperimentConfig
from llem_energy import ExperimentResult
from llem_report import table
from llem_runner import read_manifest, resume_study, run_study
from llem_runner.executors import InlineExecutor

COLUMNS = ("session", "llem_commit", "llem_is_changed", "command")


def measured(config: ExperimentConfig, **_: object) -> ExperimentResult:
    return make_result(config)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a study whose second cycle was measured by a second start."""
    run_study(study((1, 2)), output=tmp_path, measure=measured, executor=InlineExecutor())
    folder = only_folder(tmp_path)
    resume_study(folder, cycles=2, measure=measured, executor=InlineExecutor())
    return folder


def change_starts(folder: Path, **fields: list[Any]) -> None:
    """Replace fields of the starts, one value for each."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    for name, values in fields.items():
        for start, value in zip(manifest["starts"], values, strict=True):
            start[name] = value
    file.write_text(json.dumps(manifest))


def found(folder: Path) -> set[tuple[Any, ...]]:
    return {(row["cycle"], *(row[name] for name in COLUMNS)) for row in table(folder).to_pylist()}


def test_every_result_is_traced_to_the_start_that_wrote_it(folder: Path) -> None:
    manifest = read_manifest(folder)
    starts = {start.session: start for start in manifest.starts}
    assert set(starts) == {1, 2}
    for entry in manifest.entries:
        assert entry.session == entry.cycle  # each start has measured one cycle
        result = json.loads((folder / str(entry.result_file)).read_text())
        assert result["measurement_config_hash"] == entry.config_hash


def test_each_run_has_the_commit_of_its_own_start(folder: Path) -> None:
    codes = [{"commit": "a" * 40, "is_changed": False}, {"commit": "b" * 40, "is_changed": True}]
    change_starts(folder, code=codes, command=[["llem-cli", "study", "run"], ["llem-cli", "***"]])
    assert found(folder) == {
        (1, 1, "a" * 40, False, "llem-cli study run"),
        (2, 2, "b" * 40, True, "llem-cli ***"),
    }


def test_runs_of_a_folder_without_starts_have_no_commit(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["starts"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert found(folder) == {(1, 1, None, None, None), (2, 2, None, None, None)}


def test_starts_of_merged_shards_are_told_apart(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    # Both starts are the first of their part.
    for start, entries in zip(
        manifest["starts"], (manifest["entries"][:2], manifest["entries"][2:]), strict=True
    ):
        shard = start["session"]
        start |= {"shard": shard, "session": 1, "packages_of": 1}
        start["code"] = {"commit": str(shard) * 40, "is_changed": False}
        for entry in entries:
            entry |= {"shard": shard, "session": 1}
    manifest["shards"] = ["one", "two"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert {each[:3] for each in found(folder)} == {(1, 1, "1" * 40), (2, 1, "2" * 40)}
