"""`run_shard`: what one attempt at a shard leaves on disk, and how it ends."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.executors import RecordingExecutor
from fakes.results import make_result
from fakes.shard_studies import divided, on_a_node, shuffled

from llem_config import ExperimentConfig, Settings, StudyConfig
from llem_energy import ExperimentResult
from llem_runner import Control, StudyError, read_manifest, read_run_result
from llem_runner._executors.inline import InlineExecutor
from llem_runner._storage.attempts import kept_results, read_attempts
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.divided_records import planned_runs
from llem_runner.clusters import Place
from llem_runner.events import Event, RunFinished, RunStarted, StudyEnded
from llem_runner.shards import (
    ShardOutcome,
    ShardPlan,
    divide_study,
    is_merged,
    reopen_shards,
    run_shard,
)


def quick(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    return make_result(config)


def fails(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    raise ValueError(f"no result of {config.n}")


def fails_at_even(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    return quick(config) if config.n % 2 else fails(config)


def run(plan: ShardPlan, number: int = 1, **options: Any) -> ShardOutcome:
    return run_shard(
        plan.folder, number, **{"executor": InlineExecutor(), "measure": quick, **options}
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def attempt_folder(plan: ShardPlan, attempt: int = 1, number: int = 1) -> Path:
    return DividedFolder(plan.folder).shard(number) / f"a{attempt:02d}"


def record(plan: ShardPlan, attempt: int = 1, number: int = 1) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(
        (attempt_folder(plan, attempt, number) / "attempt.json").read_text()
    )
    return data


class StopsAfter:
    """An event callback that calls something after some runs."""

    def __init__(self, n: int, then: Callable[[], Any]) -> None:
        self.n_left = n
        self._then = then

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunFinished):
            self.n_left -= 1
            if self.n_left == 0:
                self._then()


class OvertakenIn:
    """An event callback that calls something when a run begins."""

    def __init__(self, n: int, then: Callable[[], Any]) -> None:
        self.n_left = n
        self._then = then

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.n_left -= 1
            if self.n_left == 0:
                self._then()


@pytest.fixture
def plan(tmp_path: Path) -> ShardPlan:
    return divided(tmp_path / "out")


def stopped_after(plan: ShardPlan, n: int, number: int = 1) -> ShardOutcome:
    control = Control()
    try:
        return run(plan, number, control=control, on_event=StopsAfter(n, control.request_stop))
    finally:
        control.close()


def test_a_shard_runs_in_a_folder_of_its_attempt(plan: ShardPlan) -> None:
    outcome = run(plan)
    assert outcome == ShardOutcome(
        shard=1, attempt=1, end="complete", n_runs=5, n_completed=5, n_failed=0
    )
    assert outcome.exit_code == 0
    manifest = read_manifest(attempt_folder(plan))
    assert manifest.status == "completed"
    assert [entry.index for entry in manifest.entries] == list(plan.shards[0].runs)
    for entry in manifest.entries:
        assert read_run_result(attempt_folder(plan), entry).output_tokens == 50
    data = record(plan)
    assert (data["state"], data["shard"], data["attempt"]) == ("complete", 1, 1)
    assert data["ended_at"] >= data["started_at"]
    assert data["executor"] == "inline"


def test_a_complete_shard_ends_at_once_and_writes_nothing(plan: ShardPlan) -> None:
    run(plan)
    before = tree(plan.folder)
    outcome = run(plan, measure=fails)
    assert (outcome.end, outcome.attempt, outcome.exit_code) == ("complete", None, 0)
    assert tree(plan.folder) == before


def test_a_stopped_shard_is_continued_in_a_new_attempt_and_nothing_is_touched(
    plan: ShardPlan,
) -> None:
    outcome = stopped_after(plan, 2)
    assert (outcome.end, outcome.exit_code) == ("stopped", 75)
    assert (outcome.n_completed, outcome.n_runs) == (2, 5)
    first = tree(attempt_folder(plan))
    assert run(plan).end == "complete"
    assert tree(attempt_folder(plan)) == first
    second = read_manifest(attempt_folder(plan, 2))
    assert [entry.index for entry in second.entries] == list(plan.shards[0].runs[2:])


def test_a_later_attempt_fences_an_earlier_one_after_the_run_at_hand(plan: ShardPlan) -> None:
    folder = DividedFolder(plan.folder)
    events = StopsAfter(2, lambda: folder.claim_attempt(1))
    outcome = run(plan, on_event=events)
    assert (outcome.end, outcome.exit_code, outcome.n_completed) == ("fenced", 75, 2)
    assert record(plan)["state"] == "fenced"
    assert run(plan).attempt == 3


def test_a_last_result_of_an_attempt_that_another_has_overtaken_is_merged(
    plan: ShardPlan,
) -> None:
    for shard in plan.shards[1:]:
        run(plan, shard.number)

    def overtake() -> None:
        # The other process has all results before the last run of this one ends.
        assert run(plan, measure=on_a_node).end == "complete"

    outcome = run(plan, on_event=OvertakenIn(2, overtake))
    assert outcome.end == "fenced"
    assert is_merged(plan.folder)
    assert read_manifest(plan.folder).n_superseded == 1


def test_the_result_of_the_first_attempt_counts(plan: ShardPlan) -> None:
    stopped_after(plan, 2)
    # A twin that had begun before the first attempt wrote its results.
    twin = attempt_folder(plan, 2)
    shutil.copytree(attempt_folder(plan), twin)
    index = plan.shards[0].runs[0]
    (result,) = twin.glob(f"{index:04d}_*/result.json")
    data = json.loads(result.read_text())
    result.write_text(json.dumps(data | {"output_tokens": 60}))
    manifest = json.loads((twin / "manifest.json").read_text())
    manifest["entries"][0]["result_sha256"] = None
    (twin / "manifest.json").write_text(json.dumps(manifest))
    folder = DividedFolder(plan.folder)
    attempts = read_attempts(folder, 1)
    runs = planned_runs(*folder.read_shard(1))
    assert kept_results(attempts, runs)[index].result.output_tokens == 50
    assert kept_results(attempts[1:], runs)[index].result.output_tokens == 60


@pytest.mark.parametrize("damage", ["delete", "truncate", "other"])
def test_a_result_that_is_not_intact_is_made_again(plan: ShardPlan, damage: str) -> None:
    run(plan)
    index = plan.shards[0].runs[1]
    (result,) = attempt_folder(plan).glob(f"{index:04d}_*/result.json")
    if damage == "delete":
        result.unlink()
    elif damage == "truncate":
        result.write_bytes(result.read_bytes()[:-100])
    else:
        result.write_text(result.read_text().replace('"output_tokens": 50', '"output_tokens": 51'))
    outcome = run(plan)
    assert (outcome.end, outcome.attempt, outcome.n_completed) == ("complete", 2, 5)
    manifest = read_manifest(attempt_folder(plan, 2))
    assert [entry.index for entry in manifest.entries] == [index]


def test_failed_runs_are_not_repeated_unless_that_is_wanted(plan: ShardPlan) -> None:
    outcome = run(plan, measure=fails_at_even)
    n_even = outcome.n_failed
    assert (outcome.end, outcome.exit_code) == ("failed", 1)
    assert 0 < n_even < 5
    again = run(plan, measure=quick)
    assert (again.end, again.attempt, again.n_failed) == ("failed", None, n_even)
    repeated = run(plan, measure=quick, retry_failed=True)
    assert (repeated.end, repeated.n_failed, repeated.n_completed) == ("complete", 0, 5)
    assert len(read_manifest(attempt_folder(plan, 2)).entries) == n_even


def test_many_failures_in_a_row_end_an_attempt(tmp_path: Path) -> None:
    config = shuffled(10, 3, max_consecutive_failures=2)
    plan = divide_study(config, output=tmp_path / "out", shards=2)
    outcome = run(plan, measure=fails)
    assert (outcome.end, outcome.exit_code, outcome.n_failed) == ("failed", 1, 2)
    assert "2 runs failed in a row" in str(outcome.reason)


class ScriptedCluster:
    """A cluster that has started this process."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.asked: list[bool] = []

    def here(self, environment: Any) -> Place:
        del environment
        return self.place

    def again(self, place: Place, *, elsewhere: bool = False) -> bool:
        assert place == self.place
        self.asked.append(elsewhere)
        return True


def test_an_attempt_records_where_it_runs(plan: ShardPlan) -> None:
    place = Place(
        cluster="scripted",
        job="7_1",
        n_restarts=2,
        machine="n1",
        ends_at=4e9,
        gpus=("GPU-1",),
        whole_machine=True,
    )
    cluster = ScriptedCluster(place)
    assert run(plan, cluster=cluster).end == "complete"
    data = record(plan)
    assert (data["cluster"], data["job"], data["n_restarts"]) == ("scripted", "7_1", 2)
    assert (data["machine"], data["gpus"], data["whole_machine"]) == ("n1", ["GPU-1"], True)
    assert data["ends_at"] == "2096-10-02T07:06:40.000+00:00"
    assert cluster.asked == []


def test_no_run_begins_after_the_end_of_the_time_and_the_shard_is_started_again(
    plan: ShardPlan,
) -> None:
    cluster = ScriptedCluster(Place(cluster="scripted", job="7_1", ends_at=time.time() + 2))

    def wait(event: Event) -> None:
        if isinstance(event, RunFinished):
            time.sleep(1.8)

    outcome = run(plan, cluster=cluster, on_event=wait)
    assert (outcome.end, outcome.exit_code, outcome.is_restarted) == ("again", 75, True)
    assert 1 <= outcome.n_completed < 5
    assert cluster.asked == [False]
    assert "time limit" in str(outcome.reason)


def test_a_cluster_is_not_asked_without_end(plan: ShardPlan) -> None:
    cluster = ScriptedCluster(Place(cluster="scripted", job="7_1", n_restarts=20))
    control = Control()
    events = StopsAfter(1, control.request_end)
    outcome = run(plan, cluster=cluster, control=control, on_event=events)
    control.close()
    assert (outcome.end, outcome.is_restarted, cluster.asked) == ("again", False, [])


def test_a_warning_of_the_end_lets_the_run_at_hand_end(plan: ShardPlan) -> None:
    control = Control()

    def warn(event: Event) -> None:
        if isinstance(event, RunStarted):
            control.request_end()

    cluster = ScriptedCluster(Place(cluster="scripted", job="7_1"))
    outcome = run(plan, control=control, on_event=warn, cluster=cluster)
    control.close()
    assert (outcome.end, outcome.n_completed, outcome.is_restarted) == ("again", 1, True)
    assert "announced" in str(outcome.reason)


@pytest.mark.parametrize(
    ("left_s", "end", "asked"),
    [(3600.0, "stopped", []), (None, "stopped", []), (3.0, "again", [False])],
)
def test_a_task_that_is_cancelled_after_the_warning_is_not_started_again(
    plan: ShardPlan, left_s: float | None, end: str, asked: list[bool]
) -> None:
    control = Control()

    def warn_and_stop(event: Event) -> None:
        if isinstance(event, RunStarted):
            control.request_end()
            control.request_stop()

    ends_at = None if left_s is None else time.time() + left_s
    cluster = ScriptedCluster(Place(cluster="scripted", job="7_1", ends_at=ends_at))
    outcome = run(plan, control=control, on_event=warn_and_stop, cluster=cluster)
    control.close()
    # The stop just before the end of the time is that of the time limit.
    assert (outcome.end, cluster.asked) == (end, asked)
    assert record(plan)["state"] == end


def test_a_task_that_is_cancelled_when_its_runs_have_ended_is_not_started_again(
    plan: ShardPlan,
) -> None:
    control = Control()

    def warn(event: Event) -> None:
        if isinstance(event, RunStarted):
            control.request_end()
        elif isinstance(event, StudyEnded):
            control.request_stop()

    cluster = ScriptedCluster(Place(cluster="scripted", job="7_1"))
    outcome = run(plan, control=control, on_event=warn, cluster=cluster)
    control.close()
    assert (outcome.n_completed, outcome.is_restarted, cluster.asked) == (1, False, [])


def test_a_warning_before_the_shard_begins_ends_it_like_any_other(plan: ShardPlan) -> None:
    control = Control()
    control.request_end()
    cluster = ScriptedCluster(Place(cluster="scripted", job="7_1"))
    outcome = run(plan, control=control, cluster=cluster)
    control.close()
    assert (outcome.end, outcome.n_completed, cluster.asked) == ("again", 0, [False])


def test_a_stop_on_request_is_never_started_again_by_us(plan: ShardPlan) -> None:
    cluster = ScriptedCluster(Place(cluster="scripted", job="7_1"))
    control = Control()
    events = StopsAfter(1, control.request_stop)
    outcome = run(plan, control=control, on_event=events, cluster=cluster)
    control.close()
    assert (outcome.end, outcome.is_restarted, cluster.asked) == ("stopped", False, [])


def test_a_machine_that_cannot_run_the_shard_is_unfit(
    tmp_path: Path, no_meter: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = shuffled(10, 3).experiments
    config = StudyConfig(
        name="test",
        experiments=tuple(
            ExperimentConfig.model_validate(each.model_dump() | {"pytorch": {"device": "cuda"}})
            for each in points
        ),
        execution=shuffled(10, 3).execution,
    )
    for name, value in no_meter.items():
        monkeypatch.setenv(name, value)
    plan = divide_study(config, output=tmp_path / "out", shards=2)
    assert plan.needs.n_gpus == 1
    cluster = ScriptedCluster(Place(cluster="scripted", job="7_1"))
    outcome = run(plan, cluster=cluster)
    assert (outcome.end, outcome.exit_code, outcome.is_restarted) == ("unfit", 75, True)
    assert cluster.asked == [True]
    assert "GPU" in str(outcome.reason)
    assert record(plan)["state"] == "unfit"
    assert read_attempts(DividedFolder(plan.folder), 1)[0].manifest is None


def test_a_shard_that_finishes_no_run_is_not_started_for_ever(plan: ShardPlan) -> None:
    def never(event: Event) -> None:
        if isinstance(event, RunStarted):
            raise StudyError("the machine is broken")

    for _ in range(3):
        with pytest.raises(StudyError, match="the machine is broken"):
            run(plan, on_event=never)
    before = tree(plan.folder)
    with pytest.raises(
        StudyError, match="the last 3 attempts finished no run; the last one: the machine"
    ):
        run(plan)
    assert tree(plan.folder) == before
    reopen_shards(plan.folder, [1, 2])
    assert (run(plan).end, run(plan, 2).attempt) == ("complete", 1)


def test_attempts_that_were_told_to_stop_do_not_count(plan: ShardPlan) -> None:
    def stop_at_once(event: Event) -> None:
        if isinstance(event, RunStarted):
            control.request_stop()

    for _ in range(4):
        control = Control()
        assert run(plan, control=control, on_event=stop_at_once).end == "stopped"
        control.close()
    assert run(plan).end == "complete"


def test_another_version_of_llem_is_refused(plan: ShardPlan) -> None:
    folder = DividedFolder(plan.folder)
    path = folder.shard_file(1)
    data = json.loads(path.read_text())
    data["origin"]["versions"]["llem-runner"] = "0.0.1"
    path.write_text(json.dumps(data))
    divided = json.loads(folder.plan.read_text())
    divided["shard_sha256"][0] = hashlib.sha256(path.read_bytes()).hexdigest()
    folder.plan.write_text(json.dumps(divided))
    before = tree(plan.folder)
    with pytest.raises(StudyError, match=r"llem-runner: the folder was started with 0\.0\.1"):
        run(plan)
    assert tree(plan.folder) == before


def test_all_shards_measure_with_the_settings_of_the_study(tmp_path: Path) -> None:
    settings = Settings.model_validate({"measurement": {"quality": False}})
    plan = divide_study(shuffled(), output=tmp_path / "out", settings=settings)
    executor = RecordingExecutor()
    run(plan, executor=executor, settings=Settings())
    shared = [Settings.model_validate_json(task.settings) for task in executor.tasks]
    assert {each.measurement.quality for each in shared} == {False}


def test_a_shard_runs_in_a_copy_of_its_folder_alone(plan: ShardPlan, tmp_path: Path) -> None:
    there = tmp_path / "there"
    shutil.copytree(DividedFolder(plan.folder).shard(2), DividedFolder(there).shard(2))
    outcome = run_shard(there, 2, executor=InlineExecutor(), measure=on_a_node)
    assert outcome.end == "complete"
