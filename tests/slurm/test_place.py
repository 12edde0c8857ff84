"""Where a task runs, and when it ends, also on a machine whose clock is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm.plans import program

CODE = (
    "import json, os, time; from llem_slurm import Slurm; "
    "print(json.dumps(Slurm().here(os.environ).ends_at - time.time()))"
)


def seconds_left(folder: Path, *, starts_in_s: float, limit_s: float, by: str = "") -> float:
    """Return what a task with a time limit believes to have left, `starts_in_s` by the clock of its node."""
    start = time.time() + starts_in_s
    program(folder / "squeue", f"echo '{start:.0f}|{start + limit_s:.0f}|OK'")
    parent = program(folder / (by or "parent"), f"{sys.executable} -c '{CODE}'\ntrue")
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    done = subprocess.run([parent], env=environment, capture_output=True, text=True, check=True)
    left_s: float = json.loads(done.stdout)
    return left_s


@pytest.mark.parametrize("wrong_s", [-86400.0, -3600.0, 0.0, 3600.0, 86400.0])
def test_a_task_knows_its_end_whatever_the_clock_of_its_node_says(
    tmp_path: Path, wrong_s: float
) -> None:
    left_s = seconds_left(tmp_path, starts_in_s=wrong_s, limit_s=1800, by="slurmstepd")
    assert 1700 < left_s <= 1800.5


def test_the_time_before_the_first_process_of_a_job_counts(tmp_path: Path) -> None:
    left_s = seconds_left(tmp_path, starts_in_s=-300, limit_s=1800, by="slurmstepd")
    assert 1400 < left_s <= 1501


def test_where_no_process_of_slurm_is_seen_the_clock_counts(tmp_path: Path) -> None:
    left_s = seconds_left(tmp_path, starts_in_s=-3600, limit_s=7200)
    assert 3500 < left_s <= 3601
