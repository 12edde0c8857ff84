"""Submit one array: every array at most once, also if an answer is lost."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from llem_runner.clusters import SubmissionRefused, SubmissionUnknown
from llem_slurm._commands import Answer, ask, passed_on
from llem_slurm._refusals import LOST, TOO_MANY, UNCONFIGURED, explain, is_refused
from llem_slurm._settings import SlurmSettings

_TIMEOUT_S = 90.0
BACK_OFF_S = (1.0, 30.0, 120.0)
"""Waits before Slurm is asked whether it has taken an array whose answer was lost."""


class TooManyJobs(SubmissionRefused):
    """A limit on the number of jobs is reached; fewer may be taken."""


def submit_array(
    script: Path,
    name: str,
    settings: SlurmSettings,
    *,
    timeout_s: float = _TIMEOUT_S,
    back_off_s: Sequence[float] = BACK_OFF_S,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Return the number of the array that Slurm has made of a batch script.

    Args:
        script: path of the batch script.
        name: of its jobs.
        settings: for the message of a refusal.
        timeout_s: how long sbatch may take, in seconds.
        back_off_s: waits in seconds between questions after a lost answer.
        sleep: waits for seconds.

    Raises:
        TooManyJobs: nothing was taken, because there would be too many jobs.
        SubmissionRefused: nothing was taken.
        SubmissionUnknown: Slurm does not tell whether it was taken.
    """
    listed = _ask_for_jobs(name)
    if not listed.is_ok and UNCONFIGURED.search(listed.problem):
        raise SubmissionRefused(explain(listed.problem, settings))  # sbatch would wait a minute too
    before = _jobs(listed)
    environment = passed_on(os.environ, settings.variables)
    answer = ask("sbatch", "--parsable", str(script), timeout_s=timeout_s, environment=environment)
    if answer.is_ok and (match := re.search(r"^(\d+)(;.*)?$", answer.text, re.MULTILINE)):
        return match[1]
    if not _may_be_lost(answer):
        problem = answer.problem or answer.text
        if TOO_MANY.search(problem):
            raise TooManyJobs(explain(problem, settings))
        raise SubmissionRefused(explain(problem, settings))
    for wait_s in back_off_s:
        sleep(wait_s)
        now = _jobs(_ask_for_jobs(name))
        if now is None or before is None:
            continue
        new = sorted(now - before, key=int)
        if new:
            return new[0]
        if TOO_MANY.search(answer.problem):
            # sbatch tries again for two minutes, and sleeps between two tries.
            raise TooManyJobs(explain(answer.problem, settings))
        if answer.code is not None and LOST.search(answer.problem) is None and answer.problem:
            break  # Slurm answers and has no such job
    else:
        lines = answer.problem.splitlines()
        raise SubmissionUnknown(
            "it cannot be told whether Slurm has taken the study, because its answer was lost: "
            f"{lines[-1] if lines else 'no text'}; look with `squeue --name={name}`, and continue "
            "with `study resume` when Slurm answers again"
        )
    raise SubmissionRefused(explain(answer.problem, settings))


def _may_be_lost(answer: Answer) -> bool:
    """Return whether Slurm may have taken the jobs although the command did not say so."""
    if answer.code is None or answer.is_ok or LOST.search(answer.problem):
        return True
    # Every refusal begins so; a program in its place that failed otherwise says something else.
    return "sbatch: error" not in answer.problem and "sbatch: unrecognized" not in answer.problem


def _ask_for_jobs(name: str) -> Answer:
    fields = ("-O", "ArrayJobID:|,State:|,Reason:")
    return ask("squeue", "-h", "-t", "all", f"--name={name}", *fields, timeout_s=_TIMEOUT_S)


def _jobs(answer: Answer) -> set[str] | None:
    """Return the numbers of the arrays that Slurm lists and has taken; None if it does not answer."""
    if not answer.is_ok:
        return None
    lines = [[part.strip() for part in line.split("|", 2)] for line in answer.text.splitlines()]
    return {job for job, state, reason in lines if not is_refused(state, reason)}
