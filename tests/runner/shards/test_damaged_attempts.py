"""Files of attempts that a full disk or a lost machine has cut off: the rest of the study continues."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.results import make_result
from fakes.shard_studies import divided

from llem_config import ExperimentConfig
from llem_energy import ExperimentResult
from llem_runner import Control, StudyError, changed_files, is_running, read_manifest
from llem_runner._executors.inline import InlineExecutor
from llem_runner.events import Event, PreflightWarning, RunFinished
from llem_runner.shards import (
    ShardPlan,
    damaged_attempts,
    merge_study,
    open_shards,
    resume_shards,
    run_shard,
    shard_progress,
)

CUT_OFF = {"empty": b"", "half": None, "zeros": bytes(400), "no text": b"\xff\xfe"}


def quick(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    return make_result(config)


def fails_at_2(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    if config.n == 2:
        raise ValueError("2")
    return make_result(config)


@pytest.fixture
def plan(tmp_path: Path) -> ShardPlan:
    """Two shards, of which the first is complete, and the second was stopped after 2 of 5 runs."""
    plan = divided(tmp_path, 10, 2, 2)
    run_shard(plan.folder, 1, executor=InlineExecutor(), measure=quick)
    control = Control()
    n_done = 0

    def stop(event: Event) -> None:
        nonlocal n_done
        n_done += isinstance(event, RunFinished)
        if n_done == 2:
            control.request_stop()

    run_shard(
        plan.folder,
        2,
        control=control,
        on_event=stop,
        executor=InlineExecutor(),
        measure=quick,
    )
    control.close()
    return plan


def file_of(plan: ShardPlan, shard: int, name: str) -> Path:
    return plan.folder / "shards" / f"{shard:04d}" / "a01" / name


def cut(path: Path, content: bytes | None) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)


@pytest.mark.parametrize("name", ["attempt.json", "manifest.json"])
@pytest.mark.parametrize("kind", CUT_OFF)
def test_an_attempt_whose_file_was_cut_off_keeps_its_results(
    plan: ShardPlan, name: str, kind: str
) -> None:
    before = {e.index: e.result_sha256 for e in read_manifest(plan.folder).entries}
    for shard in (1, 2):
        cut(file_of(plan, shard, name), CUT_OFF[kind])
    manifest = read_manifest(plan.folder)
    after = {entry.index: entry for entry in manifest.entries}
    for index, digest in before.items():
        # Without a manifest the digest is known once the result is read.
        assert (after[index].status == "completed") is (digest is not None)
        assert after[index].result_sha256 == digest
    assert all(entry.label for entry in manifest.entries)
    assert merge_study(plan.folder).summary.completed == 7
    assert not is_running(plan.folder)
    assert {p.shard: p.status for p in shard_progress(plan.folder)}[2] == "stopped"
    found = damaged_attempts(plan.folder)
    assert [str(file_of(plan, shard, name)) in line for shard, line in enumerate(found, 1)] == [
        True,
        True,
    ]
    assert set(found) <= set(changed_files(plan.folder, manifest))


def test_a_resume_continues_and_names_the_attempt(plan: ShardPlan) -> None:
    cut(file_of(plan, 2, "attempt.json"), b"")
    warnings: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, PreflightWarning):
            warnings.append(event.warning)

    done = resume_shards(plan.folder, executor=InlineExecutor(), measure=quick, on_event=note)
    assert done.result.status == "completed"
    # The two results of the damaged attempt were kept.
    assert {(o.shard, o.attempt) for o in done.outcomes} == {(2, 2), (3, 1), (4, 1)}
    assert sum(entry.attempts for entry in read_manifest(plan.folder).entries) == 20
    assert [line for line in warnings if str(file_of(plan, 2, "attempt.json")) in line]


def test_a_failed_run_of_a_manifest_that_was_cut_off_runs_again(tmp_path: Path) -> None:
    plan = divided(tmp_path, 10, 2, 2)
    for number in (1, 2):
        run_shard(plan.folder, number, executor=InlineExecutor(), measure=fails_at_2)
    assert open_shards(plan.folder) == (3, 4)
    for number in (1, 2):
        cut(file_of(plan, number, "manifest.json"), b"")
    assert read_manifest(plan.folder).totals.completed == 9
    assert len(open_shards(plan.folder)) == 3


def test_a_result_in_the_folder_of_another_point_does_not_count(plan: ShardPlan) -> None:
    folders = sorted(file_of(plan, 1, "x").parent.glob("*_c1_*"))
    folders[0].joinpath("result.json").write_bytes(folders[1].joinpath("result.json").read_bytes())
    folders[2].joinpath("result.json").write_bytes(b"{")
    cut(file_of(plan, 1, "manifest.json"), b"")
    entries = {entry.index: entry.status for entry in read_manifest(plan.folder).entries}
    assert [entries[int(folder.name[:4])] for folder in folders] == [
        "pending",
        "completed",
        "pending",
        "completed",
        "completed",
    ]


def test_a_file_that_a_person_has_changed_is_still_refused(plan: ShardPlan) -> None:
    path = file_of(plan, 1, "attempt.json")
    record = json.loads(path.read_text())
    wrong: Any
    for wrong in (record | {"shard": "one"}, record | {"started_at": "noon"}, []):
        path.write_text(json.dumps(wrong))
        with pytest.raises(StudyError, match=r"attempt.json is damaged"):
            merge_study(plan.folder)


def test_attempts_whose_manifests_were_cut_off_have_finished_their_runs(tmp_path: Path) -> None:
    plan = divided(tmp_path, 6, 1, 1)
    for number in (1, 2, 3):
        control = Control()

        def stop(event: Event, control: Control = control) -> None:
            if isinstance(event, RunFinished):
                control.request_stop()

        run_shard(
            plan.folder, 1, control=control, on_event=stop, executor=InlineExecutor(), measure=quick
        )
        control.close()
        attempt = plan.folder / f"shards/0001/a{number:02d}"
        record = json.loads((attempt / "attempt.json").read_text())
        record |= {"state": "error"}
        (attempt / "attempt.json").write_text(json.dumps(record))
        cut(attempt / "manifest.json", b"")
    assert read_manifest(plan.folder).totals.completed == 3
    assert run_shard(plan.folder, 1, executor=InlineExecutor(), measure=quick).end == "complete"
    assert merge_study(plan.folder).summary.completed == 6
