"""The commands of Slurm: each has a time limit, and its failure is an answer, not an error."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from llem_runner import StudyError

_KEPT = {"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "SLURM_CONF", "TZ", "USER"}
_KEPT_PREFIXES = ("HF_", "LC_", "LLEM_", "XDG_")
_DROPPED = {"HF_TOKEN", "XDG_RUNTIME_DIR", "XDG_SESSION_ID"}
"""A secret, and what belongs to the login session."""

_CHANGING = ("SACCT_", "SBATCH_", "SCANCEL_", "SINFO_", "SQUEUE_")
"""Variables that a user may set for himself: which jobs are listed, or that `scancel` asks first."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command of Slurm printed."""

    code: int | None
    """Its exit code; None: it did not end in time and was stopped."""
    text: str
    problem: str
    """What it printed to stderr."""

    @property
    def is_ok(self) -> bool:
        """Return whether the command succeeded."""
        return self.code == 0


def ask(
    *command: str, timeout_s: float = 60.0, environment: Mapping[str, str] | None = None
) -> Answer:
    """Run a command of Slurm and return its answer.

    Raises:
        StudyError: there is no such program on this machine.
    """
    # As a message may be translated and a time may have any format.
    variables = {**(_unfiltered(os.environ) if environment is None else environment), "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            env=variables | {"SLURM_TIME_FORMAT": "%s"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        late = f"{command[0]} has not answered in {timeout_s:.0f} s"
        return Answer(None, _text(error.stdout), f"{_text(error.stderr)}\n{late}".strip())
    except OSError as error:
        raise StudyError(
            f"{command[0]} cannot be started: {error.strerror}; log in to a node with Slurm"
        ) from error
    return Answer(done.returncode, done.stdout.strip(), done.stderr.strip())


def _text(output: bytes | str | None) -> str:
    """Return what a command had printed when it was stopped."""
    if isinstance(output, bytes):
        output = output.decode(errors="replace")
    return (output or "").strip()


def is_installed() -> bool:
    """Return whether this machine has the command that submits jobs."""
    return shutil.which("sbatch") is not None


def _unfiltered(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what changes the answers of the commands.

    Of another cluster, or with jobs left out, an answer would look as if jobs had ended.
    """
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_CHANGING) and name != "SLURM_CLUSTERS"
    }


def passed_on(environment: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """Return the variables that a job may inherit from the shell of its submission.

    What Slurm has set in a job that submits another one, CUDA_VISIBLE_DEVICES and LD_PRELOAD are not
    among them: they would change what is measured.
    """
    kept = _KEPT | set(names)
    return {
        name: value
        for name, value in environment.items()
        if name in kept or (name.startswith(_KEPT_PREFIXES) and name not in _DROPPED)
    }
