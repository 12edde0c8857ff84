"""`llem-cli study show`: the result of a study, or how far it is."""

from __future__ import annotations

import contextlib
from pathlib import Path

from llem_cli._app import OK
from llem_cli._commands.options import Json, Tracebacks
from llem_cli._commands.study.folder import StudyFolder
from llem_cli._display.console import resume_command, say, show_json
from llem_cli._display.study_progress import show_study_progress
from llem_cli._display.study_result import show_study_result
from llem_runner import StudyError, is_running, read_manifest, read_study_result
from llem_runner.plan import time_left_s
from llem_runner.records import encode_json


def show(folder: StudyFolder, /, *, json_: Json = False, verbose: Tracebacks = False) -> int:
    """Show the result of a study, or how far it is while there is no result.

    With `--json`, print one object with the same keys for every study: its status, the manifest and the result.
    """
    del verbose  # read where errors are explained
    manifest = read_manifest(folder)
    result = None
    if manifest.status != "running" and (folder / "study_result.json").is_file():
        result = read_study_result(folder)
    running = _is_running(folder) if result is None else False
    left_s = None
    if running:
        # The versions installed here may not read a study that other versions are running.
        with contextlib.suppress(StudyError):
            left_s = time_left_s(folder, manifest)
    if json_:
        show_json(
            encode_json(
                {
                    "status": manifest.status,
                    "running": running,
                    "left_s": left_s,
                    "manifest": manifest,
                    "result": result,
                }
            )
        )
    elif result is None:
        show_study_progress(manifest, folder, running=running, left_s=left_s)
    else:
        show_study_result(result, folder)
        if result.status in ("interrupted", "aborted"):
            say(f"{result.status}; continue with {resume_command(folder)}")
    return OK


def _is_running(folder: Path) -> bool | None:
    """Return whether a process runs the study; None if that cannot be found out."""
    with contextlib.suppress(StudyError):  # no access to the lock file, e.g. of another user
        return is_running(folder)
    return None
