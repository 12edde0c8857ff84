"""What a run leaves on disk: its folder, its result, its place in the manifest."""

from __future__ import annotations

import contextlib

from llem_energy import encode_result
from llem_runner._errors import StudyError
from llem_runner._outcome import Failed, Finished, Interrupted, Outcome
from llem_runner._plan.schedule import PlannedRun
from llem_runner._storage.atomic_files import sync_file, write_atomically
from llem_runner._storage.layout import LOG, REQUESTS, RESULT, TIMESERIES, Layout
from llem_runner._storage.manifest import ManifestWriter


class Booking:
    """Books runs, one by one."""

    def __init__(self, layout: Layout, manifest: ManifestWriter) -> None:
        self._layout = layout
        self._manifest = manifest

    def make_folder(self, run: PlannedRun) -> None:
        """Make a run's folder; what an earlier attempt left there is moved aside.

        Raises:
            StudyError: it cannot be written.
        """
        folder = self._layout.run_folder(run)
        try:
            folder.mkdir(exist_ok=True)
            for name in (RESULT, TIMESERIES, REQUESTS):  # the log simply goes on
                if (folder / name).exists():
                    (folder / name).replace(folder / f"{name}.old")
        except OSError as error:
            raise StudyError(f"{folder} cannot be written: {error.strerror}") from error

    def book(self, run: PlannedRun, outcome: Outcome) -> None:
        """Put what came of a run on disk.

        Raises:
            StudyError: it cannot be written.
        """
        folder = self._layout.run_folder(run)
        match outcome:
            case Finished(result):
                # Everything else first: the manifest must never point at a file that is not
                # there, nor a result at samples that a power cut can still take away.
                for name in (TIMESERIES, REQUESTS):
                    sync_file(folder / name)
                write_atomically(folder / RESULT, encode_result(result))
                self._manifest.mark_completed(run, folder / RESULT)
            case Failed():
                self._manifest.mark_failed(run, outcome)
            case Interrupted():
                self._manifest.mark_interrupted(run)

    def tidy(self, run: PlannedRun) -> None:
        """Take away the folder of a run that never began."""
        if self._manifest.entry(run).status != "pending":
            return
        folder = self._layout.run_folder(run)
        log = folder / LOG
        with contextlib.suppress(OSError):  # what keeps us from it is told by whoever has to write
            if log.is_file() and log.stat().st_size == 0:
                log.unlink()
            folder.rmdir()
