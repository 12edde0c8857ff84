"""The texts with which Slurm refuses jobs: what is said of them, and whether fewer jobs may be taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from slurm.plans import program

from llem_runner.clusters import SubmissionRefused, SubmissionUnknown
from llem_slurm import Slurm
from llem_slurm._commands import ask
from llem_slurm._refusals import explain
from llem_slurm._submission import TooManyJobs, submit_array

POLICY = (
    "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, "
    "user's size and/or time limits)"
)
FULL = "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying"


@pytest.fixture(autouse=True)
def no_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put programs that know nothing in place of those of Slurm, and return their folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("squeue", "sinfo", "sacctmgr"):
        program(folder / name, "true")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


@pytest.mark.parametrize(
    ("limit", "sentence", "is_number"),
    [
        ("AssocMaxSubmitJobLimit", "a limit on the number of your jobs is reached", True),
        ("QOSMaxSubmitJobPerUserLimit", "a limit on the number of your jobs is reached", True),
        ("AssocGrpSubmitJobsLimit", "a limit on the number of your jobs is reached", True),
        (
            "QOSMaxWallDurationPerJobLimit",
            "clusters.slurm.time = 4h: your account or its qual",
            False,
        ),
        ("AssocMaxWallDurationPerJobLimit", "clusters.slurm.time = 4h: your account or", False),
        ("QOSMaxGRESPerJob", "clusters.slurm.gpus = 2: your account or its quality", False),
        ("QOSMaxCpuPerUserLimit", "clusters.slurm.gpus = 2: your account or its quality", False),
        ("", "clusters.slurm.time = 4h, clusters.slurm.gpus = 2: a limit of your account", True),
    ],
)
def test_each_limit_of_an_account_has_its_own_sentence(
    no_slurm: Path, tmp_path: Path, limit: str, sentence: str, is_number: bool
) -> None:
    text = f"sbatch: error: {limit}\n{POLICY}" if limit else POLICY
    settings = Slurm({"gpus": 2}).settings
    assert explain(text, settings).startswith(sentence)
    program(no_slurm / "sbatch", f"cat >&2 << END\n{text}\nEND\nexit 1")
    with pytest.raises(SubmissionRefused) as caught:
        submit_array(tmp_path / "batch.sh", "llem-x", settings, sleep=lambda _: None)
    # Only of a limit on the number of jobs, a part of the array may be taken.
    assert isinstance(caught.value, TooManyJobs) is is_number


def submit(folder: Path) -> str:
    """Submit a batch script to an sbatch that gets one second."""
    settings, script = Slurm({}).settings, folder / "batch.sh"
    return submit_array(script, "llem-x", settings, timeout_s=1, sleep=lambda _: None)


def test_a_full_queue_for_which_sbatch_waits_is_a_limit_on_jobs(
    no_slurm: Path, tmp_path: Path
) -> None:
    program(no_slurm / "sbatch", f"echo '{FULL}' >&2\nexec sleep 60")
    with pytest.raises(TooManyJobs, match="Slurm takes no further jobs now"):
        submit(tmp_path)


def test_an_sbatch_that_does_not_end_may_have_submitted(no_slurm: Path, tmp_path: Path) -> None:
    program(no_slurm / "sbatch", "exec sleep 60")
    with pytest.raises(SubmissionUnknown, match="sbatch has not answered in 1 s"):
        submit(tmp_path)
    # The job becomes visible some time after sbatch was stopped.
    program(no_slurm / "squeue", f"echo >> {tmp_path}/asked; [ $(wc -l < {tmp_path}/asked) -lt 4 ] || "
            "echo '12|PENDING|None'")  # fmt: skip
    assert submit(tmp_path) == "12"


def test_variables_of_the_user_do_not_change_what_slurm_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SLURM_CLUSTERS", "SQUEUE_PARTITION", "SCANCEL_INTERACTIVE", "SACCT_FEDERATION"):
        monkeypatch.setenv(name, "other")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    names = {line.partition("=")[0] for line in ask("env").text.splitlines()}
    assert "SLURM_CONF" in names
    assert not any(
        name.startswith(("SQUEUE", "SCANCEL", "SACCT", "SLURM_CLUSTERS")) for name in names
    )
