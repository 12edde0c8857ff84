"""A study that a real Slurm has refused continues in its folder after the correction; nothing is submitted twice."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from fakes.shard_studies import SECONDS, shuffled
from slurm.conftest import check_possible, reached
from slurm.loopback import Loopback, started
from slurm.plans import program

from llem_runner import read_manifest
from llem_runner.clusters import (
    SubmissionRefused,
    SubmissionUnknown,
    resubmit_shards,
    submit_study,
)
from llem_runner.shards import open_shards, plan_division
from llem_slurm import Slurm

pytestmark = pytest.mark.slurm

N_POINTS, SHARDS = 2, (1, 2, 3)
RIGHT = {"gpus": 0, "exclusive": False, "time": "10m", "mem": "1G"}
TESTS = Path(__file__).parents[1]
RUN = (
    "import sys; from fakes.shard_studies import on_a_node; from llem_slurm import Slurm; "
    "from llem_runner.executors import InlineExecutor; from llem_runner.shards import run_shard; "
    "run_shard(sys.argv[1], int(sys.argv[2]), cluster=Slurm(), executor=InlineExecutor(), measure=on_a_node)"
)
"""A shard in one process, which takes less time than one for each run."""


@pytest.fixture(scope="module")
def strict_slurm() -> Iterator[Loopback]:
    """Yield a Slurm with accounting that takes arrays of two jobs, of at most 30 minutes."""
    check_possible(accounting=True)
    extra = {"MaxArraySize": "3", "EnforcePartLimits": "ALL"}
    with started(accounting=True, extra=extra) as slurm:
        slurm.ask("scontrol", "update", "partitionname=p", "maxtime=30")
        yield slurm


@pytest.fixture
def slurm(strict_slurm: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Let this process reach it; its queue is empty before and after."""
    yield from reached(strict_slurm, monkeypatch)


def python(work: Path) -> str:
    """Write a program that runs a shard once there is a file `go`, and return its path."""
    return program(
        work / "python",
        f"until [ -e {work}/go ]; do sleep 0.1; done\n"
        f"export PYTHONPATH={TESTS} {SECONDS}=0\n"
        f'exec {sys.executable} -c \'{RUN}\' "$folder" "$shard"',
    )


def refused(work: Path, options: Mapping[str, object]) -> tuple[Path, str]:
    """Return the folder of a study that is refused, and the message."""
    division = plan_division(shuffled(N_POINTS, len(SHARDS)), shards=1)
    with pytest.raises(SubmissionRefused) as caught:
        submit_study(division, cluster=Slurm(options), name="slurm", output=work / "results")
    (folder,) = (work / "results").iterdir()
    return folder, str(caught.value)


def continue_to_the_end(slurm: Loopback, folder: Path, cluster: Slurm, work: Path) -> None:
    """Submit what is left, as `study resume --on slurm` does, and check what runs."""
    assert slurm.ask("squeue", "-h") == ""
    assert resubmit_shards(folder, open_shards(folder), cluster=cluster).submitted == SHARDS
    again = resubmit_shards(folder, open_shards(folder), cluster=cluster)
    assert (again.submitted, again.waiting) == ((), SHARDS)
    assert len(slurm.ask("squeue", "-h", "-r", "-o", "%i").split()) == len(SHARDS)
    (work / "go").touch()
    end = time.monotonic() + 120
    while slurm.ask("squeue", "-h", check=False):
        assert time.monotonic() < end, slurm.ask("squeue", "-r", "-t", "all", check=False)
        time.sleep(0.1)
    assert open_shards(folder) == ()
    manifest = read_manifest(folder)
    assert manifest.status == "completed", manifest
    assert [entry.attempts for entry in manifest.entries] == [1] * N_POINTS * len(SHARDS)
    assert len(list(folder.glob("shards/*/a*"))) == len(SHARDS)
    tickets = json.loads((folder / "cluster/slurm/tickets.json").read_text())["tickets"]
    assert sorted(number for ticket in tickets for number in ticket["shards"]) == list(SHARDS)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"partition": "nope"}, {"partition": "p"}),
        ({"account": "nolab"}, {"account": "lab"}),
        ({"qos": "fast"}, {"qos": "normal"}),
        ({"time": "4h"}, {"time": "20m"}),
        ({"max_array": 5000}, {}),
        ({"gpu_type": "a100", "gpus": 1}, {"gpu_type": "fake", "gpus": 1}),
        ({"gpus": 9}, {"gpus": 2}),
        ({"mem": "900G"}, {"mem": "2G"}),
        ({"constraint": "fast"}, {}),
        ({"excluded_nodes": ["n77"]}, {"excluded_nodes": ["n2"]}),
        ({"extra": ["--no-such-option"]}, {"extra": ["--nice=5"]}),
    ],
    ids=lambda value: next(iter(value), "none"),
)
def test_a_refused_study_continues_with_the_setting_that_is_right(
    slurm: Loopback, tmp_path: Path, wrong: Mapping[str, object], right: Mapping[str, object]
) -> None:
    options = {**RIGHT, "python": python(tmp_path)}
    folder, message = refused(tmp_path, {**options, **wrong})
    assert f"clusters.slurm.{next(iter(wrong))} = " in message
    assert f"llem-cli study resume {folder} --on slurm" in message
    continue_to_the_end(slurm, folder, Slurm({**options, **right}), tmp_path)


@pytest.fixture
def no_more_jobs(slurm: Loopback) -> Iterator[Loopback]:
    """Let the user submit no job."""
    take_jobs(slurm, is_taken=False)
    yield slurm
    take_jobs(slurm, is_taken=True)


def take_jobs(slurm: Loopback, *, is_taken: bool) -> None:
    """Let the user submit any number of jobs or none; return when the controller knows it."""
    limit = "-1" if is_taken else "0"
    slurm.ask("sacctmgr", "-i", "modify", "user", "root", "set", f"MaxSubmitJobs={limit}")
    end = time.monotonic() + 30
    asked = ("scontrol", "show", "assoc_mgr", "users=root", "flags=assoc")
    while ("MaxSubmitJobs=0(" in slurm.ask(*asked)) is is_taken:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_study_that_a_limit_on_jobs_refused_continues_when_jobs_are_taken_again(
    no_more_jobs: Loopback, tmp_path: Path
) -> None:
    options = {**RIGHT, "python": python(tmp_path)}
    folder, message = refused(tmp_path, options)
    assert message.startswith("a limit on the number of your jobs is reached")
    assert "Job violates accounting" in message
    take_jobs(no_more_jobs, is_taken=True)
    continue_to_the_end(no_more_jobs, folder, Slurm(options), tmp_path)


def test_a_job_that_slurm_lists_as_refused_is_not_taken_for_a_lost_answer(
    slurm: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llem_slurm import _submission

    (tmp_path / "bin").mkdir()
    program(
        tmp_path / "bin/sbatch",
        '/usr/bin/sbatch "$@" 2> /dev/null\n'
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2\n"
        "exit 1",
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    script = tmp_path / "batch.sh"
    script.write_text("#!/bin/bash\n#SBATCH --gres=gpu:a100:1 --job-name=llem-refused\n")
    with pytest.raises(SubmissionUnknown, match="squeue --name=llem-refused"):
        _submission.submit_array(script, "llem-refused", Slurm({}).settings, sleep=lambda _: None)
    assert "BadConstraints" in slurm.ask(
        "squeue", "-t", "all", "-n", "llem-refused", "-O", "Reason"
    )
