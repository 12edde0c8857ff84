"""`verify_study` of a study that is divided into shards."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.shard_studies import SECONDS, divided, on_a_node, shuffled

from llem_runner import StudyError, read_manifest, verify_study
from llem_runner._executors.inline import InlineExecutor
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyManifest
from llem_runner._verification import all_files
from llem_runner.shards import add_points, merge_study, read_plan, resume_shards, run_shard


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a study whose first shard has run."""
    monkeypatch.setenv(SECONDS, "0")
    folder = divided(tmp_path).folder
    run_first_shard(folder)
    return folder


def run_first_shard(folder: Path) -> None:
    run_shard(folder, 1, executor=InlineExecutor(), measure=on_a_node)


def test_a_study_that_was_not_merged_is_refused_with_the_next_step(folder: Path) -> None:
    with pytest.raises(StudyError, match="use `llem-cli study merge"):
        verify_study(folder, files_only=True)
    merge_study(folder)
    assert verify_study(folder, files_only=True).verdict == "intact"


def test_a_result_that_was_changed_with_the_digest_of_its_attempt_is_found(folder: Path) -> None:
    merge_study(folder)
    before = verify_study(folder, files_only=True)
    attempt = folder / "shards/0001/a01"
    manifest = json.loads((attempt / "manifest.json").read_text())
    entry = manifest["entries"][0]
    path = attempt / entry["result_file"]
    result = json.loads(path.read_text())
    result["energy_total_j"] /= 2
    path.write_text(json.dumps(result))
    entry["result_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (attempt / "manifest.json").write_text(json.dumps(manifest))
    found = verify_study(folder, files_only=True)
    assert found.manifest_sha256 == before.manifest_sha256  # the number that a paper states
    assert found.verdict == "not intact"
    name = path.relative_to(folder).as_posix()
    assert [file.name for file in found.files if file.state == "changed"] == [name]


def test_a_damaged_result_that_was_measured_again_counts_for_no_reader(folder: Path) -> None:
    first = read_manifest(folder).entries[0]
    assert first.result_file is not None
    (folder / first.result_file).write_text("{")
    run_first_shard(folder)
    assert read_manifest(folder).entries[0].session == 2
    merge_study(folder)
    assert verify_study(folder, files_only=True).verdict == "intact"


def test_a_shard_that_runs_makes_the_study_running(folder: Path) -> None:
    merge_study(folder)
    path = folder / "shards/0001/a01/attempt.json"
    record = json.loads(path.read_text())  # its process is this one, which is alive
    path.write_text(json.dumps(record | {"state": "running", "ended_at": None}))
    assert verify_study(folder, files_only=True).is_running


@pytest.fixture
def complete(folder: Path) -> Path:
    resume_shards(folder, executor=InlineExecutor(), measure=on_a_node)
    return folder


def after_the_manifest(patch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[Path]:
    """Do something between the reading of the manifest and of the study; return each reading."""
    readings: list[Path] = []

    def read(folder: Path) -> StudyManifest:
        manifest = read_manifest(folder)
        readings.append(folder)
        if len(readings) == 1:
            act()
        return manifest

    patch.setattr(all_files, "read_manifest", read)
    return readings


def test_points_that_are_added_meanwhile_do_not_make_a_study_changed(
    complete: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = after_the_manifest(monkeypatch, lambda: add_points(complete, shuffled(11)))
    found = verify_study(complete, files_only=True)
    assert (found.verdict, len(readings)) == ("intact", 2)
    assert len(read_plan(complete).shards) > 6


def test_a_study_that_is_just_becoming_larger_is_not_changed(
    complete: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next plan is there before, and its plan is replaced after the check."""
    larger = DividedFolder(Path(shutil.copytree(complete, tmp_path / "larger")))
    add_points(larger.folder, shuffled(11))
    now = DividedFolder(complete)
    for path in larger.folder.glob("shards/*/shard.json"):
        (complete / path.relative_to(larger.folder)).parent.mkdir(exist_ok=True)
        shutil.copy(path, complete / path.relative_to(larger.folder))
    shutil.copy(larger.plan, now.next_plan)
    for path in larger.folder.glob("extension_*"):
        shutil.copy(path, complete)
    content = larger.layout.resolved.read_bytes()
    after_the_manifest(monkeypatch, lambda: now.layout.resolved.write_bytes(content))
    assert verify_study(complete, files_only=True).verdict == "intact"


def test_a_study_that_was_changed_is_checked_once(
    complete: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Layout(complete).resolved
    path.write_bytes(path.read_bytes().replace(b'"n": 1,', b'"n": 21,', 1))
    readings = after_the_manifest(monkeypatch, lambda: None)
    found = verify_study(complete, files_only=True)
    assert (found.verdict, len(readings)) == ("not intact", 1)
