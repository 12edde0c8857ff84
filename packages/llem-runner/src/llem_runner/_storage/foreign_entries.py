"""Checks the files of a study's folder before a resume changes any of them.

In a shared folder, another user can put a link in place of a file or of a run's folder. Every step
of a resume refuses to follow one, but in the middle of a study; so all are searched for before it.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from llem_runner._errors import StudyError
from llem_runner._plan.schedule import PlannedRun
from llem_runner._storage.folders import folder_problem, open_folder, remove_scratch_in
from llem_runner._storage.layout import LIVE, LOG, REQUESTS, RESULT, TIMESERIES, Layout

_FILES = (RESULT, TIMESERIES, REQUESTS, LOG, LIVE)


def check_entries(layout: Layout, runs: Iterable[PlannedRun]) -> None:
    """Return if no file of a study is a link, a pipe, a device or a folder.

    Args:
        layout: of the study's folder.
        runs: whose files are checked.

    Raises:
        StudyError: one is; nothing was changed.
    """
    files = (layout.resolved, layout.manifest, layout.study_result)
    problems = [*filter(None, map(_file_problem, files)), *_run_problems(layout, runs)]
    if problems:
        more = f" (and {len(problems) - 1} more such names)" if len(problems) > 1 else ""
        raise StudyError(f"{problems[0]}{more}; nothing was changed")


def _run_problems(layout: Layout, runs: Iterable[PlannedRun]) -> Iterator[str]:
    for run in runs:
        folder = layout.run_folder(run)
        if problem := folder_problem(folder):
            yield problem
            continue
        yield from filter(None, (_file_problem(folder / name) for name in _FILES))


def _file_problem(path: Path) -> str | None:
    try:
        mode = path.lstat().st_mode
    except OSError:  # there is no such file yet
        return None
    if stat.S_ISREG(mode):
        return None
    kinds = ((stat.S_ISLNK, "a link, which is not followed"), (stat.S_ISDIR, "a folder"))
    kind = next((name for test, name in kinds if test(mode)), "a pipe or a device")
    return f"{path}: expected a regular file, found {kind}; remove it or replace it by a file"


def remove_scratch(layout: Layout, runs: Iterable[PlannedRun]) -> None:
    """Delete the temporary files of a killed `write_atomically`; call only with the lock held.

    Raises:
        StudyError: a folder of a run is a link, or cannot be read.
    """
    folders = (layout.folder, *(layout.run_folder(run) for run in runs))
    for folder in folders:
        try:
            with open_folder(folder, follow_links=folder == layout.folder) as number:
                remove_scratch_in(number)
        except FileNotFoundError:  # of a run that has not begun
            continue
        except OSError as error:
            raise StudyError(f"{folder} cannot be read: {error.strerror}") from error
