"""`merge_studies`: runs of several folders as one study, and which folders do not belong together."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes.studies import study
from report.comparison.folders import KnownMeter, make_folder

from llem_runner import (
    MergedStudy,
    StudyError,
    changed_files,
    merge_studies,
    read_manifest,
    read_run_result,
    read_study,
    read_study_result,
    resume_study,
)
from llem_runner._executors.inline import InlineExecutor

SHARED: dict[str, Any] = {"energy_per_device_j": {"GPU-1": 100.0}}


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return make_folder(tmp_path, 1, ns=(1, 2), cycles=3, **SHARED)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return make_folder(tmp_path, 2, ns=(1, 2), cycles=2, **SHARED)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def change_manifest(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_execution(folder: Path, changes: Mapping[str, Any]) -> None:
    """Change the settings of a study, as if it had been started with them."""
    path = folder / "study_resolved.json"
    data = json.loads(path.read_text())
    data["execution"] |= changes
    path.write_text(json.dumps(data))
    change_manifest(folder, resolved_sha256=None)


def refusal(out: Path, *folders: Path) -> str:
    """Return why folders are not merged; nothing may be left of the attempt."""
    with pytest.raises(StudyError) as error:
        merge_studies(out, folders)
    assert not out.exists()
    return str(error.value)


def test_indices_cycles_and_shards_are_numbered_on(
    first: Path, second: Path, tmp_path: Path
) -> None:
    out = tmp_path / "merged"
    merged = merge_studies(out, (first, second))
    assert (merged.n_points, merged.n_runs, merged.n_completed) == (2, 10, 10)
    manifest = read_manifest(out)
    assert [entry.index for entry in manifest.entries] == [*range(1, 11)]
    assert [(e.shard, e.cycle) for e in manifest.entries][::2] == [
        (1, 1),
        (1, 2),
        (1, 3),
        (2, 4),
        (2, 5),
    ]
    assert manifest.shards == (first.name, second.name)
    assert manifest.study_design_hash == read_manifest(first).study_design_hash
    assert read_study(out).execution.n_cycles == 5
    result = read_study_result(out)
    assert result.measurement_protocol.n_cycles == 5
    assert result.summary.completed == 10
    assert {point.n_completed for point in result.summary.points} == {5}
    assert changed_files(out, manifest) == ()


def test_results_are_those_of_the_shards_and_need_no_space(
    first: Path, second: Path, tmp_path: Path
) -> None:
    out = tmp_path / "merged"
    merge_studies(out, (first, second))
    entries = [*read_manifest(first).entries, *read_manifest(second).entries]
    for old, new in zip(entries, read_manifest(out).entries, strict=True):
        folder = first if new.shard == 1 else second
        before, after = folder / str(old.result_file), out / str(new.result_file)
        assert before.samefile(after)
        assert not after.is_symlink()
        assert read_run_result(folder, old) == read_run_result(out, new)
    shutil.rmtree(first)
    assert read_run_result(out, read_manifest(out).entries[0]).energy_total_j is not None


def test_copies_are_independent_and_private_files_stay_private(
    first: Path, second: Path, tmp_path: Path
) -> None:
    log = (first / str(read_manifest(first).entries[0].result_file)).with_name("log.txt")
    log.write_text("private")
    log.chmod(0o600)
    out = tmp_path / "merged"
    merge_studies(out, (first, second), copy=True)
    entry = read_manifest(out).entries[0]
    assert (out / str(entry.result_file)).stat().st_nlink == 1
    copied = (out / str(entry.result_file)).with_name("log.txt")
    assert (copied.read_text(), copied.stat().st_mode & 0o777) == ("private", 0o600)


def test_the_shards_stay_as_they_are(first: Path, second: Path, tmp_path: Path) -> None:
    before = tree(first), tree(second)
    merge_studies(tmp_path / "merged", (first, second))
    assert (tree(first), tree(second)) == before


def test_studies_without_a_common_point_become_one(first: Path, tmp_path: Path) -> None:
    other = make_folder(tmp_path, 3, ns=(3, 4), cycles=3, **SHARED)
    merged = merge_studies(tmp_path / "merged", (first, other))
    assert (merged.n_points, merged.n_runs) == (4, 12)
    joined = read_study(tmp_path / "merged")
    assert [config.n for config in joined.experiments] == [1, 2, 3, 4]
    assert joined.execution.n_cycles == 3
    assert read_manifest(tmp_path / "merged").study_design_hash == joined.study_design_hash


def test_a_merged_study_can_be_merged_again(first: Path, second: Path, tmp_path: Path) -> None:
    third = make_folder(tmp_path, 4, ns=(1, 2), cycles=2, **SHARED)
    merge_studies(tmp_path / "two", (first, second))
    merge_studies(tmp_path / "three", (tmp_path / "two", third))
    manifest = read_manifest(tmp_path / "three")
    assert manifest.shards == (first.name, second.name, third.name)
    assert [entry.shard for entry in manifest.entries] == [1] * 6 + [2] * 4 + [3] * 4
    assert [entry.cycle for entry in manifest.entries][::2] == [*range(1, 8)]


def test_other_versions_and_other_settings_are_refused(
    first: Path, second: Path, tmp_path: Path
) -> None:
    change_execution(second, {"timeout_seconds": 7.0})
    text = refusal(tmp_path / "merged", first, second)
    assert "timeout_seconds 3600.0 and 7.0; use `study compare`" in text
    change_manifest(first, versions={"llem-runner": "0.0.9"})
    text = refusal(tmp_path / "merged", first, second)
    assert "llem-runner 0.0.9 and " in text


def test_some_common_points_are_refused(first: Path, tmp_path: Path) -> None:
    other = make_folder(tmp_path, 5, ns=(2, 3), cycles=3)
    text = refusal(tmp_path / "merged", first, other)
    assert "have 1 points in common, but not all" in text


def test_a_run_counts_once(first: Path, second: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "copy")
    for folders in ((first, first), (first, tmp_path / "copy"), (first, second, first)):
        assert "expected each run once" in refusal(tmp_path / "merged", *folders)


def test_different_boards_are_named(first: Path, tmp_path: Path) -> None:
    other = make_folder(tmp_path, 6, ns=(1, 2), cycles=3, energy_per_device_j={"GPU-2": 100.0})
    merged = merge_studies(tmp_path / "merged", (first, other))
    (warning,) = merged.warnings
    assert "different boards" in warning
    assert "GPU-1" in warning
    assert "GPU-2" in warning


def test_a_damaged_result_counts_as_failed_with_its_path(
    first: Path, second: Path, tmp_path: Path
) -> None:
    path = second / str(read_manifest(second).entries[1].result_file)
    path.write_text("{")
    merged = merge_studies(tmp_path / "merged", (first, second))
    (warning,) = merged.warnings
    assert warning.startswith(f"run 8 counts as failed: {path}")
    manifest = read_manifest(tmp_path / "merged")
    assert (manifest.status, manifest.totals.failed, manifest.totals.completed) == ("failed", 1, 9)
    assert str(path) in str(manifest.entries[7].error_message)
    assert read_study_result(tmp_path / "merged").summary.failed == 1


def test_a_resume_of_a_merged_study_says_why_not(first: Path, second: Path, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    merge_studies(out, (first, second))
    before = tree(out)
    with pytest.raises(StudyError, match="was merged from 2 folders and cannot be continued"):
        resume_study(out, cycles=9, measure=KnownMeter(1, 2), executor=InlineExecutor())
    assert {name: data for name, data in tree(out).items() if name != ".lock"} == before


def test_a_run_that_a_manifest_lists_twice_is_refused(
    first: Path, second: Path, tmp_path: Path
) -> None:
    entries = json.loads((first / "manifest.json").read_text())["entries"]
    twin = next(each for each in entries[1:] if each["config_hash"] == entries[0]["config_hash"])
    twin |= {name: entries[0][name] for name in ("result_file", "result_sha256")}
    change_manifest(first, entries=entries)
    text = refusal(tmp_path / "merged", first, second)
    assert f"run {twin['index']} of {first} is run 1 of {first}: expected each run once" in text


def test_a_target_in_a_shard_is_refused(first: Path, second: Path) -> None:
    text = refusal(second / "merged", first, second)
    assert "expected a place outside of the folders that are merged" in text


def test_a_later_resume_of_a_shard_does_not_change_the_merged_study(
    first: Path, second: Path, tmp_path: Path
) -> None:
    out = tmp_path / "merged"
    merge_studies(out, (first, second))
    # A result that was changed is measured again; its name then has another file.
    damaged = first / str(read_manifest(first).entries[0].result_file)
    damaged.rename(damaged.with_suffix(".kept"))
    damaged.write_text("{")
    before = tree(out)
    resume_study(first, cycles=4, measure=KnownMeter(9, 2), executor=InlineExecutor())
    assert read_manifest(first).totals.completed == 8
    assert tree(out) == before


def test_an_existing_target_is_not_touched(first: Path, second: Path, tmp_path: Path) -> None:
    (tmp_path / "merged").mkdir()
    with pytest.raises(StudyError, match="merged exists; expected the name of a new folder"):
        merge_studies(tmp_path / "merged", (first, second))
    assert list((tmp_path / "merged").iterdir()) == []


@pytest.mark.parametrize("copy", [False, True])
def test_links_in_a_shard_are_not_followed(
    first: Path, second: Path, tmp_path: Path, copy: bool
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    entries = read_manifest(second).entries
    result = second / str(entries[0].result_file)
    result.unlink()
    result.symlink_to(precious)
    log = (second / str(entries[1].result_file)).with_name("log.txt")
    log.unlink(missing_ok=True)
    log.symlink_to(precious)
    pipe = (second / str(entries[2].result_file)).with_name("timeseries.parquet")
    os.mkfifo(pipe)
    run = (second / str(entries[3].result_file)).parent
    shutil.copytree(run, tmp_path / "elsewhere")
    shutil.rmtree(run)
    run.symlink_to(tmp_path / "elsewhere")
    merged = merge_studies(tmp_path / "merged", (first, second), copy=copy)
    assert len([line for line in merged.warnings if "counts as failed" in line]) == 2
    assert len([line for line in merged.warnings if "is left out" in line]) == 2
    for path in (tmp_path / "merged").rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or (path.is_file() and b"precious" not in path.read_bytes())
    assert precious.read_text() == "precious"


def test_the_study_of_a_shard_must_be_that_of_its_manifest(
    first: Path, second: Path, tmp_path: Path
) -> None:
    (second / "study_resolved.json").write_text(study((1, 2), n_cycles=2).model_dump_json())
    assert "was changed after the study started" in refusal(tmp_path / "merged", first, second)


def test_one_folder_is_not_enough(first: Path, tmp_path: Path) -> None:
    assert "expected at least 2 folders to merge, found 1" in refusal(tmp_path / "merged", first)


def test_merged_study_is_a_record(first: Path, second: Path, tmp_path: Path) -> None:
    merged = merge_studies(tmp_path / "merged", (first, second))
    assert isinstance(merged, MergedStudy)
    assert merged.folder == str(tmp_path / "merged")
