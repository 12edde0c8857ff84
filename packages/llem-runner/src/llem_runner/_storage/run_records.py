"""What a run leaves on disk: its folder, its result, its entry in the manifest."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from llem_energy.records import encode_result
from llem_runner._errors import StudyError
from llem_runner._outcome import Failed, Finished, Interrupted, Outcome
from llem_runner._plan.schedule import PlannedRun
from llem_runner._storage.atomic_files import sync_file, write_atomically
from llem_runner._storage.folders import open_folder, rename_to_old
from llem_runner._storage.layout import LIVE, LOG, REQUESTS, RESULT, TIMESERIES, Layout
from llem_runner._storage.manifest_writer import ManifestWriter


class RunRecords:
    """Makes the folders of runs and saves their outcomes."""

    def __init__(self, layout: Layout, manifest: ManifestWriter) -> None:
        self._layout = layout
        self._manifest = manifest

    def log_file(self, run: PlannedRun) -> Path:
        """Return the file for everything that a run prints."""
        return self._layout.run_folder(run) / LOG

    def timeseries_file(self, run: PlannedRun) -> Path:
        """Return the file for the samples of a run."""
        return self._layout.run_folder(run) / TIMESERIES

    def make_folder(self, run: PlannedRun) -> None:
        """Make the folder of a run; files of an earlier attempt are renamed to `.old`.

        Raises:
            StudyError: it cannot be written.
        """
        folder = self._layout.run_folder(run)
        try:
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
            with open_folder(folder) as number:
                for name in (RESULT, TIMESERIES, REQUESTS):  # the log is continued
                    rename_to_old(number, name)
        except OSError as error:
            raise StudyError(f"{folder} cannot be written: {error.strerror}") from error

    def save(self, run: PlannedRun, outcome: Outcome) -> None:
        """Write the outcome of a run to disk.

        Raises:
            StudyError: it cannot be written.
        """
        folder = self._layout.run_folder(run)
        match outcome:
            case Finished(result):
                # The manifest last: it must never name a file that does not exist, nor a result
                # name samples that a power cut can still destroy.
                for name in (TIMESERIES, REQUESTS):
                    sync_file(folder / name)
                write_atomically(folder / RESULT, encode_result(result), follow_links=False)
                self._manifest.mark_completed(run, folder / RESULT)
            case Failed():
                self._manifest.mark_failed(run, outcome)
            case Interrupted():
                self._manifest.mark_interrupted(run)

    def clean_up(self, run: PlannedRun) -> None:
        """Remove what a killed run leaves, and the folder of a run that never began."""
        folder = self._layout.run_folder(run)
        with contextlib.suppress(OSError, StudyError), open_folder(folder) as number:
            os.unlink(LIVE, dir_fd=number)
        if self._manifest.entry(run).status != "pending":
            return
        # Whatever writes here next reports the same error.
        with contextlib.suppress(OSError, StudyError):
            with open_folder(folder) as number, contextlib.suppress(FileNotFoundError):
                status = os.stat(LOG, dir_fd=number, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and status.st_size == 0:
                    os.unlink(LOG, dir_fd=number)
            folder.rmdir()
