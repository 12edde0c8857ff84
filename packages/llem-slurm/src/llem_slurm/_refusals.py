"""Why Slurm refuses a study: its texts, the setting to change, and what the cluster offers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llem_runner import StudyError
from llem_slurm._commands import ask
from llem_slurm._settings import SlurmSettings

LOST = re.compile(
    r"Unable to contact slurm controller|Socket timed out|Connection (reset|refused|timed out)|"
    r"Zero Bytes were transmitted|Transport endpoint|communication (connection )?failure|"
    r"Unable to establish (controller|control)|Protocol (authentication|connection) error",
    re.IGNORECASE,
)
"""Texts after which it cannot be told whether the jobs were taken."""
UNCONFIGURED = re.compile("configuration source|process configuration|slurm.conf")
"""Texts of a command that finds no slurm.conf; each takes a minute to say so."""
_FULL = "Slurm temporarily unable to accept job|Slurm job queue full"
_SUBMITTED = r"(Assoc|QOS)\w*SubmitJob\w*"
_POLICY = "Job violates accounting/QOS policy"
"""The last line of a refusal by any limit of an account; the line above names the limit."""
_OTHER_LIMIT = r"(Assoc|QOS)(?!\w*SubmitJob)\w*(Limit|PerJob|PerNode|PerUser|PerAccount)\b"
TOO_MANY = re.compile(
    rf"{_SUBMITTED}|{_FULL}|\A(?![\s\S]*{_OTHER_LIMIT})[\s\S]*{_POLICY}", re.IGNORECASE
)
"""Texts of a limit on the number of jobs, or of an unnamed limit: fewer may be taken."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    pattern: str
    settings: tuple[str, ...]
    meaning: str
    question: tuple[str, ...] = ()


_NODES = ("sinfo", "-h", "-o", "%P %G %f %l")
_REFUSALS = (
    _Refusal(UNCONFIGURED.pattern, (),
             "this machine has no configuration of a Slurm; log in to a node that submits jobs, or "
             "let SLURM_CONF name its slurm.conf"),
    _Refusal(_FULL, (), "Slurm takes no further jobs now; continue when some have ended"),
    _Refusal(_SUBMITTED, (),
             "a limit on the number of your jobs is reached; continue when some have ended"),
    _Refusal(r"(Assoc|QOS)\w*Wall\w*", ("time",), "your account or its quality of service allows less"),
    _Refusal(_OTHER_LIMIT, ("gpus", "cpus_per_task", "mem"),
             "your account or its quality of service allows less"),
    _Refusal(_POLICY, ("time", "gpus", "cpus_per_task", "mem"),
             "a limit of your account is reached: on the number of jobs, on their size or on their time"),
    _Refusal("invalid partition", ("partition",), "there is no such partition",
             ("sinfo", "-h", "-o", "%R")),
    _Refusal("Invalid account", ("account", "partition"), "you may not use this account there",
             ("sacctmgr", "-n", "-P", "show", "assoc", "format=account,partition")),
    _Refusal("invalid qos", ("qos",), "there is no such quality of service, or you may not use it",
             ("sacctmgr", "-n", "-P", "show", "qos", "format=name")),
    _Refusal("Invalid feature", ("constraint",), "no node has this feature", _NODES),
    _Refusal("Invalid generic resource|Invalid gres|Unable to (process|parse) gres",
             ("gpu_type", "gpus"), "no node has such GPUs", _NODES),
    _Refusal("Requested node configuration is not available",
             ("gpu_type", "gpus", "cpus_per_task", "mem", "constraint"),
             "no node has all of this", _NODES),
    _Refusal("Memory specification", ("mem",), "no node has so much memory", _NODES),
    _Refusal("More processors requested", ("cpus_per_task",), "no node has this number of processors",
             _NODES),
    _Refusal("Requested time limit is invalid|time limit", ("time",),
             "the partition allows less", ("sinfo", "-h", "-o", "%R %l")),
    _Refusal("Invalid job array", ("max_array",), "Slurm takes no array with such an index"),
    _Refusal("Invalid node name|node list", ("excluded_nodes",), "there is no such node",
             ("sinfo", "-h", "-o", "%N")),
    _Refusal("nrecognized option|nvalid option|requires an argument|ambiguous", ("extra",),
             "sbatch has no such option"),
)  # fmt: skip


def is_refused(state: str, reason: str) -> bool:
    """Return whether a job is one that Slurm lists although it has refused it.

    Where no node can have what a job needs, sbatch fails, and Slurm lists the job for some minutes.
    """
    return (state, reason) == ("FAILED", "BadConstraints")


def explain(problem: str, settings: SlurmSettings) -> str:
    """Return one sentence for a refusal, and below it what Slurm has said."""
    for refusal in _REFUSALS:
        if re.search(refusal.pattern, problem, re.IGNORECASE):
            return f"{_sentence(refusal, settings)}\nSlurm says: {_original(problem)}"
    return f"Slurm refused the study; change the settings in clusters.slurm\nSlurm says: {_original(problem)}"


def _sentence(refusal: _Refusal, settings: SlurmSettings) -> str:
    # The settings that are set, because those can be wrong; the first one if none is.
    used = [name for name in refusal.settings if getattr(settings, name) not in (None, ())]
    values = (
        f"clusters.slurm.{name} = {_shown(settings, name)}" for name in used or refusal.settings[:1]
    )
    if not refusal.settings:
        return refusal.meaning
    offered = _offered(refusal.question)
    hint = f"; {refusal.question[0]} offers: {offered}" if offered else ""
    return f"{', '.join(values)}: {refusal.meaning}{hint}"


def _shown(settings: SlurmSettings, name: str) -> str:
    value = getattr(settings, name)
    if isinstance(value, tuple):
        return ", ".join(value)
    return "not set" if value is None else str(value)


def _offered(question: Sequence[str]) -> str:
    """Return what the cluster has instead; empty if it does not tell."""
    if not question:
        return ""
    try:
        answer = ask(*question, timeout_s=20)
    except StudyError:
        return ""
    lines = dict.fromkeys(line.strip(" |") for line in answer.text.splitlines() if line.strip(" |"))
    return ", ".join(list(lines)[:20]) if answer.is_ok else ""


def _original(problem: str) -> str:
    lines = [line.strip() for line in problem.splitlines() if line.strip()]
    return " ".join(lines[-2:]) if lines else "nothing"
