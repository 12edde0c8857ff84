"""The examples for other engines with an index: valid for them, and right however often a shard is started."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from fakes.shard_studies import REPEATABLE, SECONDS, divided, on_a_node

from llem_runner import StudyResult, read_manifest
from llem_runner.executors import InlineExecutor
from llem_runner.shards import merge_study, open_shards, resume_shards

ROOT = Path(__file__).parents[2]
JOB = ROOT / "examples" / "clusters" / "kubernetes-job.yaml"
TASK = ROOT / "examples" / "clusters" / "skypilot-shard.yaml"


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def test_the_kubernetes_job_is_valid_and_knows_the_exit_codes() -> None:
    job = loaded(JOB)
    kubernetes_validate.validate(job, "1.37", strict=True)
    rules = {rule["action"]: rule for rule in job["spec"]["podFailurePolicy"]["rules"]}
    assert rules["Count"]["onExitCodes"]["values"] == [75]
    assert rules["FailIndex"]["onExitCodes"]["values"] == [1, 2]


def test_a_wrong_kubernetes_job_is_refused() -> None:
    job = loaded(JOB)
    job["spec"]["completionsMode"] = job["spec"].pop("completionMode")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, "1.37", strict=True)


def test_the_skypilot_task_fits_the_description_of_one() -> None:
    schema = json.loads((Path(__file__).parent / "data" / "skypilot_task.json").read_text())
    jsonschema.validate(loaded(TASK), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**loaded(TASK), "runs": "x"}, schema)


def figures_of(result: StudyResult) -> list[object]:
    """Return what a study says of its points, but not what depends on when runs took place."""
    return [
        (
            point.label,
            point.n_completed,
            figure and (figure.n, figure.mean, figure.sd, figure.median),
        )
        for point in result.summary.points
        for figure in [point.energy_per_output_token_j]
    ]


def test_shards_that_are_started_three_times_at_once_and_killed_give_the_study_of_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REPEATABLE, "1")
    plan = divided(tmp_path / "results", 5, 4, 1)
    alone = shutil.copytree(plan.folder, tmp_path / "alone")
    monkeypatch.setenv(SECONDS, "0")
    undisturbed = resume_shards(alone, executor=InlineExecutor(), measure=on_a_node).result
    command = [
        part.replace("/studies/FOLDER", str(plan.folder))
        for part in loaded(JOB)["spec"]["template"]["spec"]["containers"][0]["command"]
    ]
    program = tmp_path / "bin" / "llem-cli"
    program.parent.mkdir()
    tests = ROOT / "tests"
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} {tests}/slurm/stand_in.py -m llem_cli "$@"\n'
    )
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(tests), SECONDS: "0.2"}
    chance = random.Random(7)
    for n_at_once in (3, 1, 1, 1):
        pods = [
            subprocess.Popen(
                command,
                env={**env, "JOB_COMPLETION_INDEX": str(number - 1)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in open_shards(plan.folder)
            for _ in range(n_at_once)
        ]
        if n_at_once > 1:
            time.sleep(4)
            for pod in chance.sample(pods, 4):
                pod.send_signal(signal.SIGKILL)
        ends = [(pod.communicate(timeout=200)[1], pod.returncode) for pod in pods]
        assert {code for _, code in ends} <= {0, 75, -signal.SIGKILL}, ends
    assert open_shards(plan.folder) == ()
    result = merge_study(plan.folder)
    assert (result.summary.planned, result.summary.completed) == (20, 20)
    manifest = read_manifest(plan.folder)
    assert {entry.status for entry in manifest.entries} == {"completed"}
    assert merge_study(plan.folder) == result
    assert figures_of(result) == figures_of(undisturbed)
