"""`resume_shards`: the rest of a divided study on one machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.results import make_result
from fakes.shard_studies import divided

from llem_config import ExperimentConfig
from llem_energy import ExperimentResult
from llem_runner import Control, StudyError
from llem_runner._executors.inline import InlineExecutor
from llem_runner._storage import attempt_process
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner.events import Event, RunFinished
from llem_runner.shards import Resumed, ShardPlan, open_shards, resume_shards, run_shard


def quick(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    return make_result(config)


def resume(plan: ShardPlan, **options: Any) -> Resumed:
    return resume_shards(plan.folder, executor=InlineExecutor(), measure=quick, **options)


@pytest.fixture(autouse=True)
def numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this machine a number of its own; images of containers often have none."""
    (tmp_path / "machine-id").write_text("b08dfa6083e7567a1921a715000001fb\n")
    monkeypatch.setattr(attempt_process, "_MACHINE_ID", tmp_path / "machine-id")


@pytest.fixture
def plan(tmp_path: Path) -> ShardPlan:
    plan = divided(tmp_path)
    for number in (2, 5):
        run_shard(plan.folder, number, executor=InlineExecutor(), measure=quick)
    return plan


def test_only_the_shards_that_are_not_complete_run(plan: ShardPlan) -> None:
    assert open_shards(plan.folder) == (1, 3, 4, 6)
    done = resume(plan)
    assert [outcome.shard for outcome in done.outcomes] == [1, 3, 4, 6]
    assert (done.result.status, done.result.summary.completed) == ("completed", 30)
    assert resume(plan).outcomes == ()


def test_a_stop_ends_the_whole_resume(plan: ShardPlan) -> None:
    control = Control()

    def stop(event: Event) -> None:
        if isinstance(event, RunFinished):
            control.request_stop()

    done = resume(plan, control=control, on_event=stop)
    control.close()
    assert [outcome.end for outcome in done.outcomes] == ["stopped"]
    assert (done.result.status, done.result.summary.completed) == ("interrupted", 11)
    assert resume(plan).result.status == "completed"


def open_attempt(plan: ShardPlan, **process: Any) -> None:
    """Make an attempt at shard 3 that has not ended, as far as its files say."""
    run_shard(plan.folder, 3, executor=InlineExecutor(), measure=quick)
    attempt = DividedFolder(plan.folder).shard(3) / "a01"
    record = json.loads((attempt / "attempt.json").read_text())
    record |= {"state": "running", "ended_at": None, "process": record["process"] | process}
    (attempt / "attempt.json").write_text(json.dumps(record))
    for result in list(attempt.glob("*/result.json"))[:1]:
        result.unlink()


def test_a_shard_that_runs_here_is_not_run_twice(plan: ShardPlan) -> None:
    open_attempt(plan)
    with pytest.raises(StudyError, match=r"a01: process [0-9]+ on .* is running; wait"):
        resume(plan)


def test_a_shard_that_may_run_elsewhere_needs_a_flag(plan: ShardPlan) -> None:
    open_attempt(plan, boot_id="another", host="another")
    with pytest.raises(
        StudyError, match=r"cannot be seen from this machine; last sign .* so it may be running"
    ):
        resume(plan)
    done = resume(plan, even_if_running=True)
    assert done.result.status == "completed"
    assert [(o.shard, o.attempt) for o in done.outcomes if o.shard == 3] == [(3, 2)]


def test_a_process_with_the_number_of_one_that_has_ended_is_another(plan: ShardPlan) -> None:
    # Process numbers are used again; and two machines use the same.
    open_attempt(plan, started_ticks=1)
    assert resume(plan).result.status == "completed"


def test_a_process_of_an_earlier_boot_of_this_machine_has_ended(plan: ShardPlan) -> None:
    open_attempt(plan, boot_id="earlier", pid_namespace="pid:[4026531836]")
    assert resume(plan).result.status == "completed"


@pytest.mark.parametrize(
    "other",
    [
        {"machine_id": "another"},
        {"machine_id": None},
        {"host": "another"},  # machines of one image can have one number
        {"pid_namespace": "pid:[4026532000]"},  # and containers one name too
    ],
    ids=["machine", "no machine", "host", "container"],
)
def test_a_process_of_another_boot_may_be_on_another_machine(
    plan: ShardPlan, other: dict[str, str | None]
) -> None:
    open_attempt(plan, **{"boot_id": "earlier", "pid_namespace": "pid:[4026531836]"} | other)
    with pytest.raises(
        StudyError, match=r"cannot be seen from this machine; last sign .* so it may be running"
    ):
        resume(plan)
