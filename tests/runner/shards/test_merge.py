"""`merge_study`: the attempts at the shards as one study, whatever is merged when and how often."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes.shard_studies import EFFECT, SECONDS, divided, on_a_node, shuffled
from fakes.studies import study
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llem_runner import (
    Control,
    StudyError,
    changed_files,
    extend_study,
    is_running,
    merge_studies,
    read_manifest,
    read_run_result,
    read_study_result,
    resume_study,
)
from llem_runner._executors.inline import InlineExecutor
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner.events import Event, RunFinished
from llem_runner.records import packages_at
from llem_runner.shards import ShardOutcome, divide_study, merge_study, run_shard

MERGED = ("manifest.json", "study_result.json")


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECONDS, "0")


def run(folder: Path, number: int, *, effect: float = 1.0, stop_after: int = 99) -> ShardOutcome:
    """Make an attempt on a machine with this effect, which is stopped after some runs."""
    control = Control()
    n_done = 0

    def count(event: Event) -> None:
        nonlocal n_done
        if isinstance(event, RunFinished):
            n_done += 1
            if n_done == stop_after:
                control.request_stop()

    os.environ[EFFECT] = str(effect)
    try:
        return run_shard(
            folder,
            number,
            control=control,
            on_event=count,
            executor=InlineExecutor(),
            measure=on_a_node,
        )
    finally:
        control.close()
        del os.environ[EFFECT]


def merged(folder: Path) -> dict[str, bytes]:
    merge_study(folder)
    return {name: (folder / name).read_bytes() for name in MERGED}


def test_the_last_shard_merges_and_all_readers_find_one_study(tmp_path: Path) -> None:
    plan = divided(tmp_path / "out")
    for shard in plan.shards:
        assert not (plan.folder / "study_result.json").exists()
        assert run(plan.folder, shard.number).end == "complete"
    result = read_study_result(plan.folder)
    assert (result.status, result.summary.completed) == ("completed", 30)
    assert result.measurement_protocol.shards_per_cycle == 2
    assert all(file.startswith("shards/000") for file in result.result_files)
    manifest = read_manifest(plan.folder)
    assert [entry.index for entry in manifest.entries] == [*range(1, 31)]
    assert {(entry.shard, entry.session) for entry in manifest.entries} == {
        (number, 1) for number in range(1, 7)
    }
    for entry in manifest.entries:
        assert read_run_result(plan.folder, entry).measurement_config_hash == entry.config_hash
    assert changed_files(plan.folder, manifest) == ()
    assert not is_running(plan.folder)
    assert all(packages_at(manifest.starts, start) for start in manifest.starts)
    assert sum(bool(start.packages) for start in manifest.starts) == 1


def test_blocks_are_attempts(tmp_path: Path) -> None:
    plan = divide_study(shuffled(20, 4), output=tmp_path, shards=2)
    run(plan.folder, 1, effect=1.3, stop_after=5)
    for shard in plan.shards:
        run(plan.folder, shard.number, effect=1 + 0.06 * (shard.number % 2))
    comparisons = read_study_result(plan.folder).summary.comparisons
    assert comparisons is not None
    blocks = [
        (block.cycle, block.shard, block.session, block.n_runs) for block in comparisons.blocks
    ]
    assert blocks[:3] == [(1, 1, 1, 5), (1, 1, 2, 5), (1, 2, 1, 10)]
    assert len(blocks) == 9
    # With the cycle as block, the machines would be in the spread between runs.
    assert comparisons.residual_cv is not None
    assert comparisons.residual_cv < 0.01


def test_a_study_can_be_merged_and_read_while_nothing_or_little_is_measured(
    tmp_path: Path,
) -> None:
    plan = divided(tmp_path)
    manifest = read_manifest(plan.folder)
    assert (manifest.status, manifest.totals.pending) == ("interrupted", 30)
    assert merge_study(plan.folder).summary.completed == 0
    run(plan.folder, 3, stop_after=2)
    # No merge has run since, and the manifest is as new as the attempts.
    assert read_manifest(plan.folder).totals.completed == 2
    assert merge_study(plan.folder).summary.completed == 2
    assert read_study_result(plan.folder).status == "interrupted"


def test_a_killed_attempt_leaves_its_result_and_an_interrupted_run(tmp_path: Path) -> None:
    plan = divided(tmp_path)
    run(plan.folder, 1)
    attempt = DividedFolder(plan.folder).shard(1) / "a01"
    # As a kill leaves it: one result that the manifest does not know, one run without a result.
    data = json.loads((attempt / "manifest.json").read_text())
    for entry in data["entries"][2:4]:
        entry |= {"status": "running", "result_file": None, "result_sha256": None}
    second = plan.shards[0].runs[3]
    next(attempt.glob(f"{second:04d}_*/result.json")).unlink()
    (attempt / "manifest.json").write_text(json.dumps(data))
    record = json.loads((attempt / "attempt.json").read_text())
    record |= {"state": "running", "ended_at": None}
    (attempt / "attempt.json").write_text(json.dumps(record))
    states = {entry.index: entry.status for entry in read_manifest(plan.folder).entries}
    assert [states[index] for index in plan.shards[0].runs] == [
        *("completed", "completed", "completed", "running", "completed")
    ]
    assert read_manifest(plan.folder).status == "running"
    assert is_running(plan.folder)  # its process is this one, which is alive
    record["process"]["started_ticks"] -= 1
    (attempt / "attempt.json").write_text(json.dumps(record))
    assert not is_running(plan.folder)
    outcome = run(plan.folder, 1)
    assert (outcome.end, outcome.attempt) == ("complete", 2)
    entries = {entry.index: entry for entry in read_manifest(plan.folder).entries}
    assert [entries[index].session for index in plan.shards[0].runs] == [1, 1, 1, 2, 1]
    assert entries[second].attempts == 2


def test_of_two_results_the_first_attempt_counts_and_the_other_is_counted(tmp_path: Path) -> None:
    plan = divided(tmp_path)
    run(plan.folder, 1, effect=1.0, stop_after=3)
    shard = DividedFolder(plan.folder).shard(1)
    # The same runs on a machine that needs half: the value must not decide.
    (shard / "a01").rename(shard / "hidden")
    run(plan.folder, 1, effect=0.5)
    (shard / "a01").rename(shard / "a02")
    (shard / "hidden").rename(shard / "a01")
    manifest = read_manifest(plan.folder)
    assert manifest.n_superseded == 3
    first = [e for e in manifest.entries if e.shard == 1 and e.session == 1]
    assert len(first) == 3
    energies = [read_run_result(plan.folder, e).energy_per_output_token_j or 0 for e in first]
    assert min(energies) > 0.9
    assert merge_study(plan.folder).summary.completed == 5


def test_a_damaged_result_does_not_count_and_the_next_one_does(tmp_path: Path) -> None:
    plan = divided(tmp_path)
    run(plan.folder, 1)
    index = plan.shards[0].runs[0]
    (result,) = DividedFolder(plan.folder).shard(1).glob(f"a01/{index:04d}_*/result.json")
    result.write_bytes(result.read_bytes()[:-10])
    assert merge_study(plan.folder).summary.completed == 4
    run(plan.folder, 1)
    assert merge_study(plan.folder).summary.completed == 5
    entry = next(e for e in read_study_result(plan.folder).result_files if f"/{index:04d}_" in e)
    assert entry.startswith("shards/0001/a02/")


def test_an_attempt_of_another_study_is_refused(tmp_path: Path) -> None:
    plan = divided(tmp_path)
    other = divide_study(
        study(range(101, 111), n_cycles=3, cycle_order="shuffled"), output=tmp_path, shards=2
    )
    run(other.folder, 1)
    shutil.copytree(other.folder / "shards/0001/a01", plan.folder / "shards/0001/a01")
    for read in (merge_study, read_manifest, lambda folder: run(folder, 1)):
        with pytest.raises(StudyError, match=r"a01/manifest\.json: expected the design hash"):
            read(plan.folder)


def test_a_run_with_another_point_than_the_planned_one_is_refused(tmp_path: Path) -> None:
    plan = divided(tmp_path)
    run(plan.folder, 1)
    path = plan.folder / "shards/0001/a01/manifest.json"
    data = json.loads(path.read_text())
    first, second = data["entries"][:2]
    first["index"], second["index"] = second["index"], first["index"]
    path.write_text(json.dumps(data))
    with pytest.raises(StudyError, match="expected the point"):
        merge_study(plan.folder)


def test_divided_studies_are_not_merged_with_one_another(tmp_path: Path) -> None:
    folders = [divided(tmp_path / name).folder for name in "ab"]
    with pytest.raises(StudyError, match="divided into 6 shards: expected studies in one folder"):
        merge_studies(tmp_path / "merged", folders)
    assert not (tmp_path / "merged").exists()


def test_a_resume_of_the_whole_study_and_a_link_are_refused(tmp_path: Path) -> None:
    plan = divided(tmp_path)
    run(plan.folder, 1)
    with pytest.raises(StudyError, match="divided into 6 shards"):
        resume_study(plan.folder, executor=InlineExecutor(), measure=on_a_node)
    with pytest.raises(StudyError, match="divided into 6 shards, to which shards are added: use"):
        extend_study(plan.folder, shuffled(12))
    attempt = DividedFolder(plan.folder).shard(1) / "a01"
    attempt.rename(tmp_path / "elsewhere")
    attempt.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StudyError, match="a link, which is not followed"):
        merge_study(plan.folder)


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study with several attempts at each shard, some of them with the same runs."""
    folder = divided(tmp_path_factory.mktemp("attempts")).folder
    os.environ[SECONDS] = "0"
    shards = DividedFolder(folder)
    for number in range(1, 7):
        run(folder, number, effect=1 + number / 50, stop_after=1 + number % 4)
        twin = shards.shard(number) / "hidden"
        (shards.shard(number) / "a01").rename(twin)
        run(folder, number, effect=1.1, stop_after=3)
        run(folder, number, effect=1.2)
        shutil.move(twin, shards.shard(number) / "a07")
    return folder


def copy_of(folder: Path, out: Path, attempts: Sequence[tuple[int, str]]) -> None:
    """Copy some attempts of a study; all other files too."""
    shutil.copytree(
        folder,
        out,
        ignore=lambda _, names: [n for n in names if len(n) == 3 and n[0] == "a"],
        dirs_exist_ok=True,
    )
    for number, name in attempts:
        shutil.copytree(
            DividedFolder(folder).shard(number) / name, DividedFolder(out).shard(number) / name
        )


@given(seed=st.integers(0, 10**9))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_merging_any_attempts_in_any_order_any_number_of_times_gives_the_same_bytes(
    attempts: Path, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chance = random.Random(seed)
    shards = DividedFolder(attempts)
    every = [(n, each.path.name) for n in range(1, 7) for each in shards.attempts(n)]
    assert len(every) == 18
    some = chance.sample(every, chance.randint(0, len(every)))
    at_once = tmp_path_factory.mktemp("merge") / "study"
    copy_of(attempts, at_once, some)
    expected = merged(at_once)
    step_by_step = tmp_path_factory.mktemp("merge") / "study"
    copy_of(attempts, step_by_step, [])
    for number, name in some:
        target = DividedFolder(step_by_step).shard(number) / name
        shutil.copytree(shards.shard(number) / name, target)
        if chance.random() < 0.3:
            merge_study(step_by_step)
    assert merged(step_by_step) == expected
    assert merged(step_by_step) == expected


def test_clocks_that_differ_by_an_hour_change_nothing(attempts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(attempts, folder)
    before = read_manifest(folder)
    record = DividedFolder(folder).shard(1) / "a01" / "manifest.json"
    data: dict[str, Any] = json.loads(record.read_text())
    for entry in data["entries"]:
        if entry["started_at"]:
            entry["started_at"] = "2099-01-01T00:00:00+00:00"
    record.write_text(json.dumps(data))
    after = read_manifest(folder)
    assert [(e.index, e.status, e.session) for e in after.entries] == [
        (e.index, e.status, e.session) for e in before.entries
    ]
    assert merge_study(folder).summary.completed == 30
