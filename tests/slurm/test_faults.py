"""Faults of a real Slurm while a study runs: no result is lost, changed or made by two writers."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from slurm.loopback import Loopback
from slurm.studies import SlurmStudy, children, kill, parent

from llem_runner.clusters import cancel_study

pytestmark = pytest.mark.slurm


def begun(study: SlurmStudy, number: int, n_results: int = 1) -> None:
    """Return when a shard has some results and a run in progress."""
    shard = study.folder / "shards" / f"{number:04d}"
    study.wait_until(lambda: len(list(shard.glob("a*/*/result.json"))) >= n_results)
    # A process alone is not enough: between two runs, the next one is still pending.
    study.wait_until(
        lambda: (
            any(children(pid) for pid in study.pids(number))
            and any('"running"' in file.read_text() for file in shard.glob("a*/manifest.json"))
        )
    )


def attempts(study: SlurmStudy) -> list[dict[str, Any]]:
    """Return the records of all attempts, in their order."""
    files = sorted(study.folder.glob("shards/*/a*/attempt.json"))
    return [json.loads(file.read_text()) for file in files]


def complete(study: SlurmStudy) -> None:
    study.settle()
    assert study.open_shards() == (), study.describe()


def test_a_requeued_shard_keeps_its_results_and_continues(
    on_slurm: Loopback, tmp_path: Path
) -> None:
    study = SlurmStudy(on_slurm, tmp_path)
    begun(study, 1, 2)
    study.note_results()
    on_slurm.ask("scontrol", "requeue", study.task(1))
    study.wait_until(lambda: study.n_attempts(1) == 2)
    complete(study)
    assert len(study.results()) == study.n_runs
    attempt = study.folder / "shards" / "0001" / "a01"
    record = json.loads((attempt / "attempt.json").read_text())
    assert record["state"] == "stopped"
    assert record["job"] == study.task(1)
    later = json.loads((attempt.with_name("a02") / "attempt.json").read_text())
    assert (later["state"], later["n_restarts"]) == ("complete", 1)


@pytest.mark.parametrize("partition", ["p", "graceful"])
def test_a_preempted_shard_is_put_back_by_slurm_and_continues(
    on_slurm: Loopback, tmp_path: Path, partition: str
) -> None:
    study = SlurmStudy(
        on_slurm, tmp_path, n_cycles=1, seconds=0.05, first_seconds=20, partition=partition
    )
    begun(study, 1, 0)
    node = str(study.state(1).machine)
    on_slurm.ask("sbatch", "--partition=urgent", f"--nodelist={node}", "--exclusive",
                 "--output=/dev/null", "--wrap=sleep 2")  # fmt: skip
    study.wait_until(lambda: study.n_attempts(1) == 2)
    complete(study)
    assert len(study.results()) == study.n_runs
    records = attempts(study)
    # We do not put it back too: the next attempt is that after Slurm's only restart.
    assert [record["state"] for record in records] == ["stopped", "complete"]
    assert [record["n_restarts"] for record in records] == [0, 1]
    first = next(study.folder.glob("shards/0001/a01/manifest.json"))
    statuses = [entry["status"] for entry in json.loads(first.read_text())["entries"]]
    assert statuses.count("interrupted") == 1 and "running" not in statuses


def test_a_cancelled_shard_stays_cancelled_and_alone_is_submitted_again(
    on_slurm: Loopback, tmp_path: Path
) -> None:
    study = SlurmStudy(on_slurm, tmp_path, n_cycles=3)
    begun(study, 1)
    on_slurm.ask("scancel", study.task(1))
    study.wait_until(lambda: study.state(1).phase == "ended")
    assert "cancelled" in str(study.state(1).reason)
    study.settle()
    assert study.open_shards() == (1,)
    assert study.n_attempts(1) == 1
    assert study.top_up() == (1,)
    complete(study)
    assert len(study.results()) == study.n_runs


def test_a_shard_that_is_cancelled_after_the_warning_of_its_time_limit_stays_cancelled(
    on_slurm: Loopback, tmp_path: Path
) -> None:
    study = SlurmStudy(on_slurm, tmp_path, n_cycles=1, seconds=20)
    begun(study, 1, 0)
    on_slurm.ask("scancel", "--signal=USR2", "--batch", study.task(1))
    time.sleep(1)  # the run in progress may end, and the task would ask for another start then
    on_slurm.ask("scancel", study.task(1))
    study.wait_until(lambda: study.state(1).phase == "ended")
    study.settle()
    assert "cancelled" in str(study.state(1).reason)
    assert [record["state"] for record in attempts(study)] == ["stopped"]
    assert study.open_shards() == (1,)


def test_a_cancelled_study_ends_and_can_be_continued(on_slurm: Loopback, tmp_path: Path) -> None:
    study = SlurmStudy(on_slurm, tmp_path)
    begun(study, 1)
    states = cancel_study(study.folder, cluster=study.cluster)
    assert {state.phase for state in states.values()} == {"ended"}
    study.note_results()
    assert study.all_pids() == []
    assert study.top_up() == study.open_shards() != ()
    complete(study)


def test_a_shard_that_reaches_its_time_limit_completes_by_itself(
    on_slurm: Loopback, tmp_path: Path
) -> None:
    # Slurm looks every 30 s which limits are near, so here it sends the signal within 30 s. Until
    # then no computer can finish the runs: they take 80 s, and the limit is 60 s.
    study = SlurmStudy(
        on_slurm, tmp_path, n_points=20, n_cycles=1, seconds=0.05, first_seconds=4,
        time="1m", warn_seconds=45,
    )  # fmt: skip
    complete(study)
    n_attempts = study.n_attempts(1)
    assert n_attempts >= 2
    records = attempts(study)
    assert [record["state"] for record in records] == ["again"] * (n_attempts - 1) + ["complete"]
    # The run in progress at the signal ends; none is stopped in the middle.
    assert len(study.results()) == 20
    begun_runs = list(study.folder.glob("shards/*/a*/0*"))
    assert len(begun_runs) <= 20 + n_attempts - 1


@pytest.mark.parametrize("victim", ["task", "run", "slurmstepd"])
def test_what_is_killed_is_not_lost(on_slurm: Loopback, tmp_path: Path, victim: str) -> None:
    study = SlurmStudy(on_slurm, tmp_path)
    begun(study, 1)
    study.note_results()
    (task,) = study.pids(1)
    kill({"task": task, "run": children(task)[-1], "slurmstepd": parent(task)}[victim])
    study.settle()
    end = time.monotonic() + 60
    while study.all_pids():
        assert time.monotonic() < end, "a process is left"
        time.sleep(0.1)
    if study.open_shards():
        assert study.top_up() == (1,)
        complete(study)
    # A run whose process died is begun again in its attempt.
    assert len(study.results()) == study.n_runs


def test_a_cut_off_node_and_its_successor_both_write_and_nothing_is_overwritten(
    on_slurm: Loopback, tmp_path: Path
) -> None:
    study = SlurmStudy(on_slurm, tmp_path, n_points=8, n_cycles=1, seconds=0.6)
    begun(study, 1)
    node = str(study.state(1).machine)
    (task,) = study.pids(1)
    try:
        on_slurm.kill(f"slurmd-{node}")
        on_slurm.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=cut off")
        study.wait_until(lambda: study.n_attempts(1) == 2)
        # The first process lives still: two attempts at once.
        assert task in study.pids(1)
        study.note_results()
        study.settle()
        study.wait_until(lambda: task not in study.pids(1))
    finally:
        on_slurm.start_node(int(node[1:]))
        on_slurm.ask("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        on_slurm.wait_until_idle()
    study.note_results()
    assert study.open_shards() == ()
    records = attempts(study)
    assert [record["state"] for record in records] == ["fenced", "complete"]
    assert records[0]["machine"] != records[1]["machine"]
    # What both have done is kept twice.
    assert study.n_runs <= len(study.results()) <= study.n_runs + 2


def test_a_task_continues_without_the_controller(on_slurm: Loopback, tmp_path: Path) -> None:
    study = SlurmStudy(on_slurm, tmp_path, n_points=20)
    begun(study, 1)
    # A controller forgets a job that it has not saved, which it does some seconds after a change.
    changed = time.time()
    on_slurm.ask("scontrol", "update", f"jobid={study.jobs[1]}", "Comment=saved")
    study.wait_until(lambda: (on_slurm.folder / "state" / "job_state").stat().st_mtime > changed)
    on_slurm.kill("slurmctld", signal.SIGKILL)
    try:
        n_results = len(study.results())
        end = time.monotonic() + 120
        while len(study.results()) < n_results + 3:
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        on_slurm.start_controller()
        on_slurm.wait_until_answering()
    complete(study)
