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
from fakes import measures
from fakes.shard_studies import SECONDS, divided, on_a_node
from fakes.studies import study

from llem_cli._commands.study.continuing import Continuing
from llem_cli._commands.study.resume import resume
from llem_cli._display.study_result import show_study_result
from llem_report import analyse, write_report
from llem_runner import read_manifest, read_study_result
from llem_runner.executors import InlineExecutor
from llem_runner.shards import ShardPlan, divide_study, read_plan, resume_shards, shard_progress

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
    plan = divided(tmp_path, n_cycles=2)
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
    assert "4 shards: 3 not started, 1 stopped" in shown.stdout

    assert resume(plan.folder, measure=on_a_node, quiet=True) == 0
    assert "20" in capsys.readouterr().out
    assert read_manifest(plan.folder).status == "completed"
    assert json.loads((plan.folder / "manifest.json").read_text())["status"] == "completed"


def test_runs_that_have_failed_are_counted_where_no_run_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = study((1, measures.BAD_N), n_cycles=2, cycle_order="shuffled")
    folder = divide_study(failing, output=tmp_path).folder
    resume_shards(folder, executor=InlineExecutor(), measure=measures.fails_at_bad_n)
    show_study_result(read_study_result(folder), folder)
    shown = capsys.readouterr().out
    assert (
        f"run the failed runs again with `llem-cli study resume {folder} --retry-failed`" in shown
    )
    on_slurm = Continuing(on="slurm", dry_run=True)
    assert resume(folder, how=on_slurm) == 0
    left = f"{folder}: nothing to submit, because no run is left"
    assert capsys.readouterr().out == f"{left} (2 failed; --retry-failed repeats them)\n"
    again = Continuing(retry_failed=True)
    assert resume(folder, how=again, measure=on_a_node, quiet=True) == 0
    capsys.readouterr()
    assert resume(folder, how=on_slurm) == 0
    assert capsys.readouterr().out == f"{left}\n"


def test_cycles_are_added_as_shards_that_run_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = divided(tmp_path, n_points=2, n=1)
    resume_shards(plan.folder, executor=InlineExecutor(), measure=on_a_node)
    fewer = cli("resume", plan.folder, "--cycles", "2")
    assert (fewer.returncode, fewer.stdout) == (1, "")
    assert "cycles: expected at least 3 (the study has 3), found 2" in fewer.stderr
    (tmp_path / "study.yaml").write_text(STUDY)
    other = cli("resume", plan.folder, "--study", tmp_path / "study.yaml")
    assert other.returncode == 1
    assert "cannot be continued" in other.stderr
    assert len(read_plan(plan.folder).shards) == 3
    capsys.readouterr()
    assert resume(plan.folder, cycles=5, measure=on_a_node, quiet=True) == 0
    assert "2 shards added: numbers 4 to 5, cycles 4 to 5" in capsys.readouterr().err
    assert read_manifest(plan.folder).totals.completed == 10
    shown = cli("show", plan.folder)
    assert "5 shards: 5 complete" in shown.stdout


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--sbatch", "x"), "--sbatch: expected --on with this flag, e.g. --on slurm"),
        (("--dry-run",), "--dry-run: expected --on with this flag, e.g. --on slurm"),
        (("--on", "none"), "--on: expected a cluster, found none; leave out --on to run here"),
        (("--on", "none", "--wait"), "--wait: expected no --wait with --on, because jobs wait in"),
    ],
    ids=["no cluster", "dry run", "none", "wait"],
)
def test_flags_that_do_not_go_together_exit_with_2(
    tmp_path: Path, flags: tuple[str, ...], problem: str
) -> None:
    plan = divided(tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY)
    extends = [("extend", "--study", tmp_path / "study.yaml")] if flags != ("--dry-run",) else []
    for command in (("resume",), *extends):
        refused = cli(*command, plan.folder, *flags)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert problem in refused.stderr


def test_run_on_a_cluster_is_submit(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    given = ("--shards", "2", "--dry-run", "--json", "--output", tmp_path / "out", "--cycles", "2")
    run = cli("run", file, "--on", "none", *given)
    assert run.returncode == 0, run.stderr
    assert run.stdout == cli("submit", file, "--on", "none", *given).stdout
    assert len(json.loads(run.stdout)["shards"]) == 4
    for flags, problem in (
        (("--time-limit", "1h"), "each job has a time limit of its own; use --time-per-shard"),
        (("--gpus", "all"), "the settings of the cluster say which GPUs each job gets"),
        (("--timeout", "9"), "the file says it; use --set execution.timeout_seconds=N"),
        (("--report",), "the command does not wait for the runs; use `llem-cli study report"),
    ):
        refused = cli("run", file, "--on", "none", *flags)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"expected no {flags[0]} with --on, because {problem}" in refused.stderr
    without = cli("run", file, "--shards", "2")
    assert without.returncode == 2
    assert "--shards: expected --on with this flag, e.g. --on slurm" in without.stderr
    model = cli("run", "--model", "builtin:tiny-llama", "--on", "none")
    assert model.returncode == 2
    assert "expected no --model with --on" in model.stderr
    assert not (tmp_path / "out").exists()
