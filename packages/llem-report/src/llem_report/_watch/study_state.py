"""What a study does now, read from its folder again and again without changing anything there."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from llem_config.folders import found_instead
from llem_report._watch.power_trace import Power, PowerTrace
from llem_report._watch.sparing import Sparing
from llem_runner import StudyError, is_running, read_manifest, read_study
from llem_runner.plan import time_left_s
from llem_runner.progress import find_run_folder, manifest_signature, read_live, unseen_processes
from llem_runner.records import ManifestEntry, StudyManifest

MAX_AGE_S = 5.0
"""Of a reading of the power that is shown as the present one."""


class CurrentRun(msgspec.Struct, frozen=True, kw_only=True):
    """The run in progress."""

    index: int
    cycle: int
    label: str
    stage: str | None
    """One of `llem_energy.STAGES`; None if it is not known."""
    elapsed_s: float | None


class StudyState(msgspec.Struct, frozen=True, kw_only=True):
    """What a study does now."""

    folder: Path
    manifest: StudyManifest | None = None
    """None before the study has one, and if it was never readable; else the last readable one."""
    counts: Mapping[str, int] = {}
    """Number of runs by their status, from the runs themselves."""
    running: bool | None = False
    """Whether a process is running the study; None if that cannot be found out."""
    unseen: str | None = None
    """What is known of a process on another machine, which cannot be seen from here."""
    run: CurrentRun | None = None
    left_s: float | None = None
    """Estimated time for the rest of the study."""
    power: Power = Power()
    problem: str | None = None
    """Why the folder cannot be read now."""


class StudyWatch:
    """Reads one folder. Files that have not changed are not read again."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Prepare to watch a folder; `clock` returns Unix time in seconds."""
        self._folder = folder
        self._clock = clock
        self._signature: tuple[int, ...] | None = None
        self._manifest: StudyManifest | None = None
        self._counts: Counter[str] = Counter()
        self._problem: str | None = None
        self._run_folder: tuple[tuple[int, int], Path | None] | None = None
        self._trace = PowerTrace(clock)
        self._left = Sparing(self._read_left_s, every_s=15.0)
        self._left_s: tuple[float, float] | None = None  # the estimate, and when it was made

    def look(self) -> StudyState:
        """Return what the study does now; a folder that cannot be read is no error."""
        self._read_manifest()
        manifest = self._manifest
        if manifest is None:
            return StudyState(folder=self._folder, problem=self._problem)
        running = self._is_running()
        entry = next((each for each in manifest.entries if each.status == "running"), None)
        run = None
        if running is not False and entry is not None:
            run = self._look_at_run(entry)
        return StudyState(
            folder=self._folder,
            manifest=manifest,
            counts=self._counts,
            running=running,
            unseen=self._unseen() if running is None else None,
            run=run,
            left_s=self._estimate_left_s() if running is not False else None,
            power=self._trace.now(MAX_AGE_S),
            problem=self._problem,
        )

    def _read_manifest(self) -> None:
        try:
            signature = manifest_signature(self._folder)
        except (OSError, ValueError):
            self._signature = None
            self._problem = self._missing_manifest()
            return
        except StudyError as error:
            self._problem = str(error)
            return
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._manifest = read_manifest(self._folder)
            self._counts = Counter(entry.status for entry in self._manifest.entries)
            self._problem = None
            self._left.renew()
        except StudyError as error:
            self._problem = str(error)

    def _missing_manifest(self) -> str | None:
        if found_instead(self._folder):
            return f"{self._folder}: the folder is gone; it was renamed or deleted"
        if self._manifest is not None:
            return f"{self._folder / 'manifest.json'}: the file is gone; restore it from a copy"
        return None  # the study has not begun

    def _is_running(self) -> bool | None:
        with contextlib.suppress(StudyError):  # no access to the lock file, e.g. of another user
            return is_running(self._folder)
        return None

    def _unseen(self) -> str | None:
        with contextlib.suppress(StudyError):
            return next(map(str, unseen_processes(self._folder)), None)
        return None

    def _look_at_run(self, entry: ManifestEntry) -> CurrentRun:
        attempt = (entry.index, entry.attempts)
        if self._run_folder is None or self._run_folder[0] != attempt or not self._run_folder[1]:
            self._run_folder = attempt, find_run_folder(self._folder, entry)
        folder = self._run_folder[1]
        reading = None if folder is None else read_live(folder)
        if reading is not None:
            self._trace.add(entry.index, reading)
        elapsed_s = None
        if entry.started_at is not None:
            started_s = datetime.fromisoformat(entry.started_at).timestamp()
            elapsed_s = max(0.0, self._clock() - started_s)
        return CurrentRun(
            index=entry.index,
            cycle=entry.cycle,
            label=entry.label,
            stage=reading.stage if reading else None,
            elapsed_s=elapsed_s,
        )

    def _estimate_left_s(self) -> float | None:
        estimate_s = self._left.call()
        now_s = time.monotonic()
        if self._left.has_called or self._left_s is None:
            self._left_s = None if estimate_s is None else (estimate_s, now_s)
        if self._left_s is None:
            return None
        seconds, at_s = self._left_s
        return max(0.0, seconds - (now_s - at_s))

    def _read_left_s(self) -> float | None:
        # The versions installed here may not read a study that other versions are running.
        with contextlib.suppress(StudyError):
            if self._manifest is not None:
                return time_left_s(self._folder, self._manifest)
        return None


def check_watchable(folder: Path) -> None:
    """Return if a folder holds a study, begun or not, readable or damaged.

    Raises:
        StudyError: it does not.
    """
    try:
        read_manifest(folder)
    except StudyError as error:
        if os.path.lexists(folder / "manifest.json"):
            return  # the page says what is wrong, and shows the study once it is repaired
        try:
            read_study(folder)
        except StudyError:
            raise error from None
