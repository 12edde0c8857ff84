"""Run llem studies: every experiment in a fresh process, everything on disk as it happens.

    from llem_runner import run_study
    result = run_study("study.yaml")

The process that calls this never imports torch. Child processes are spawned, so a script that
calls it needs the usual `if __name__ == "__main__":`.
"""

from llem_runner._control import Control
from llem_runner._errors import PreflightError, StudyError, StudyLocked
from llem_runner._executors.local.run_isolated import run_isolated
from llem_runner._storage.lock import is_running
from llem_runner._storage.manifest import read_manifest
from llem_runner._storage.study_result import StudyResult, read_study_result
from llem_runner._study.resume import resume_study
from llem_runner._study.run import run_study
from llem_runner._study.run_one import run_experiment

__all__ = [
    "Control",
    "PreflightError",
    "StudyError",
    "StudyLocked",
    "StudyResult",
    "is_running",
    "read_manifest",
    "read_study_result",
    "resume_study",
    "run_experiment",
    "run_isolated",
    "run_study",
]
