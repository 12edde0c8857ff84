"""`study submit --on none`, `shard`, `show`, `merge` and `resume` of a divided study, and its readers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.shard_studies import SECONDS, divided, on_a_node

from llem_cli._commands.study.resume import resume
from llem_report import analyse, write_report
from llem_runner import read_manifest
from llem_runner.shards import ShardPlan, read_plan, shard_progress

TESTS = Path(__file__).parents[1]
STUDY = """\
name: small
model: builtin:tiny-llama
pytorch: {device: cpu}
sweep: {n: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}
execution: {n_cycles: 3, config_gap_seconds: 0, cycle_gap_seconds: 0}
"""


def start(folder: Path, number: int, seconds: float = 0.05) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fakes.shard_studies", str(folder), str(number)],
        env={**os.environ, "PYTHONPATH": str(TESTS), SECONDS: str(seconds)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # As a batch script leaves it, until the program has a handler.
        preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
    )


def cli(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "llem_cli", "study", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def wait_until_running(plan: ShardPlan, shard: int, n_completed: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        entries = [e for e in read_manifest(plan.folder).entries if e.shard == shard]
        states = [entry.status for entry in entries]
        if "running" in states and states.count("completed") >= n_completed:
            return
        time.sleep(0.02)
    raise AssertionError(f"shard {shard} does not run")


def test_shards_that_run_at_the_same_time_become_one_study(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    done = cli(
        "submit", tmp_path / "study.yaml", "--on", "none", "--shards", "2", "--output", tmp_path
    )
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("small_*")
    assert "study shard" in done.stdout
    assert len(read_plan(folder).shards) == 6
    for numbers in ((1, 2), (3, 4), (5, 6)):
        tasks = [start(folder, number) for number in numbers]
        for number, task in zip(numbers, tasks, strict=True):
            output, errors = task.communicate(timeout=120)
            assert task.returncode == 0, errors
            assert f"shard {number}: complete, attempt 1; 5 of 5 runs completed" in output
    shown = cli("show", folder)
    assert shown.returncode == 0, shown.stderr
    assert "6 shards: 6 complete" in shown.stdout
    assert json.loads(cli("show", folder, "--json").stdout)["result"]["summary"]["completed"] == 30
    again = start(folder, 3)
    assert "nothing to do" in again.communicate(timeout=60)[0]
    assert again.returncode == 0
    # The readers of a study.
    assert analyse(folder).n_runs_used == 30
    assert write_report(folder).is_file()
    assert cli("export", folder, tmp_path / "runs.csv").returncode == 0
    assert (tmp_path / "runs.csv").read_text().count("\n") == 31
    assert cli("verify", folder).returncode == 0
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    compared = cli("compare", folder, copy)
    assert compared.returncode == 0, compared.stderr


@pytest.mark.parametrize(
    ("number", "end"),
    [(signal.SIGTERM, "stopped"), (signal.SIGINT, "stopped"), (signal.SIGUSR2, "again")],
)
def test_a_signal_ends_a_shard_with_exit_code_75(tmp_path: Path, number: int, end: str) -> None:
    plan = divided(tmp_path)
    task = start(plan.folder, 1, seconds=0.3)
    wait_until_running(plan, 1, 1)
    task.send_signal(number)
    output, errors = task.communicate(timeout=60)
    assert task.returncode == 75, errors
    assert f"shard 1: {end}, attempt 1" in output
    (progress, *_) = shard_progress(plan.folder)
    assert progress.status == "stopped"
    assert 1 <= progress.n_completed < 5
    statuses = [e.status for e in read_manifest(plan.folder).entries if e.shard == 1]
    # The warning of the end lets the present run end; a stop does not.
    assert statuses.count("interrupted") == (0 if end == "again" else 1)


def test_a_dry_run_prints_valid_json_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    out = tmp_path / "out"
    done = cli("submit", tmp_path / "study.yaml", "--dry-run", "--json", "--output", out)
    shown = json.loads(done.stdout)
    assert (done.returncode, shown["folder"], len(shown["shards"])) == (0, None, 3)
    assert not out.exists()


def test_wrong_arguments_exit_with_2_and_a_shard_that_is_not_there_with_1(tmp_path: Path) -> None:
    plan = divided(tmp_path)
    assert cli("shard", plan.folder).returncode == 2
    assert cli("shard", plan.folder, "0").returncode == 2
    missing = cli("shard", plan.folder, "7")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "expected 1 to 6, because the study has 6 shards, found 7" in missing.stderr
    other = cli("merge", tmp_path)
    assert other.returncode == 2
    assert "expected at least 2 folders" in other.stderr


def test_a_killed_shard_is_shown_and_a_resume_runs_what_is_left_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = divided(tmp_path)
    task = start(plan.folder, 2, seconds=5)  # it must run while three commands do
    wait_until_running(plan, 2, 1)
    assert "running" in cli("show", plan.folder).stdout
    refused = cli("resume", plan.folder)
    assert refused.returncode == 1
    assert f"process {task.pid} on" in refused.stderr
    task.kill()
    task.communicate(timeout=60)
    shown = cli("show", plan.folder)
    assert shown.returncode == 0, shown.stderr
    assert "stopped: its process was killed" in shown.stdout
    assert "6 shards: 5 not started, 1 stopped" in shown.stdout

    assert resume(plan.folder, measure=on_a_node, quiet=True) == 0
    assert "30" in capsys.readouterr().out
    assert read_manifest(plan.folder).status == "completed"
    assert json.loads((plan.folder / "manifest.json").read_text())["status"] == "completed"


def test_a_divided_study_has_no_more_cycles_than_its_shards(tmp_path: Path) -> None:
    plan = divided(tmp_path)
    refused = cli("resume", plan.folder, "--cycles", "5")
    assert refused.returncode == 2
    assert "the shards of this one are fixed" in refused.stderr
