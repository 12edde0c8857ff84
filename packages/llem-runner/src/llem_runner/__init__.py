"""Run llem studies: every experiment in a fresh process, everything on disk as it happens.

    from llem_runner import run_study
    result = run_study("study.yaml")

The process that calls this never imports torch, and nothing in it is changed. Child processes do not
import the caller's script, so no `if __name__ == "__main__":` is needed.
"""

from llem_runner._control import Control
from llem_runner._errors import PreflightError, StudyError, StudyLocked
from llem_runner._executors.local.run_isolated import run_isolated
from llem_runner._storage.changed_files import changed_files
from llem_runner._storage.manifest_reader import read_manifest
from llem_runner._storage.result_files import read_run_result, read_stored_run
from llem_runner._storage.running import is_running
from llem_runner._storage.study_list import list_studies
from llem_runner._storage.study_reader import read_study
from llem_runner._storage.study_result import StudyResult, read_study_result
from llem_runner._study.extend import extend_study
from llem_runner._study.merge import MergedStudy, merge_studies
from llem_runner._study.resume import resume_study
from llem_runner._study.run import run_study
from llem_runner._study.run_one import run_experiment
from llem_runner._verification.verify import verify_study

__all__ = [
    "Control",
    "MergedStudy",
    "PreflightError",
    "StudyError",
    "StudyLocked",
    "StudyResult",
    "changed_files",
    "extend_study",
    "is_running",
    "list_studies",
    "merge_studies",
    "read_manifest",
    "read_run_result",
    "read_stored_run",
    "read_study",
    "read_study_result",
    "resume_study",
    "run_experiment",
    "run_isolated",
    "run_study",
    "verify_study",
]
