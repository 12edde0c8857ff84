"""The attempts at a shard on disk: how they ended, and which results they have."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from llem_runner._errors import StudyError
from llem_runner._plan.schedule import PlannedRun
from llem_runner._storage.atomic_files import read_json, reason_of
from llem_runner._storage.attempt_folders import AttemptFolder
from llem_runner._storage.attempt_record import AttemptRecord, record_file
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.folders import open_folder, remove_scratch_in
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyManifest, read_manifest_file
from llem_runner._storage.result_files import KeptResult, valid_result
from llem_runner._storage.stored_values import is_instant

MAX_FRUITLESS = 3
"""Attempts in a row without a finished run, after which a shard is not started again."""


class Attempt(NamedTuple):
    """One attempt, as it is on disk."""

    folder: AttemptFolder
    record: AttemptRecord | None
    """None if its process ended before it could write it."""
    manifest: StudyManifest | None
    """None if it has begun no run."""

    @property
    def n_finished(self) -> int:
        """Return how many runs it has finished, with a result or without."""
        totals = None if self.manifest is None else self.manifest.totals
        return 0 if totals is None else totals.completed + totals.failed

    @property
    def is_open(self) -> bool:
        """Return whether its files do not say that it has ended."""
        return self.record is not None and self.record.state == "running"

    @property
    def is_alive(self) -> bool | None:
        """Return whether its process still runs; None if it cannot be told from here."""
        if self.record is None or not self.is_open:
            return False
        return self.record.process.is_alive()


def read_attempts(folder: DividedFolder, shard: int) -> list[Attempt]:
    """Return the attempts at a shard, first to last.

    Raises:
        StudyError: a file is damaged.
    """
    return [_read_attempt(each) for each in folder.attempts(shard)]


def check_study_of(attempts: Iterable[Attempt], study_design_hash: str) -> None:
    """Return if all attempts are of this study: a copied folder would bring results of other points.

    Raises:
        StudyError: one is of another study.
    """
    for attempt in attempts:
        found = study_design_hash
        if attempt.manifest is not None:
            found = attempt.manifest.study_design_hash
        if found != study_design_hash:
            raise StudyError(
                f"{Layout(attempt.folder.path).manifest}: expected the design hash {study_design_hash} of "
                f"this study, found {found}; move {attempt.folder.path} to the study that it is of"
            )


def _read_attempt(folder: AttemptFolder) -> Attempt:
    path = record_file(folder.path)
    record = None
    if os.path.lexists(path):
        record = read_json(path, AttemptRecord)
        for name in ("started_at", "ended_at", "ends_at"):
            text = getattr(record, name)
            if text is not None and not is_instant(text):
                raise StudyError(
                    f"{path} is damaged: {name}: expected a date and time, found {text!r}; restore it "
                    "from a copy"
                )
    manifest = Layout(folder.path).manifest
    return Attempt(
        folder, record, read_manifest_file(manifest) if os.path.lexists(manifest) else None
    )


def kept_results(attempts: Iterable[Attempt], runs: Iterable[PlannedRun]) -> dict[int, KeptResult]:
    """Return the valid result of each run that has one, by index; that of the first attempt counts.

    The first counts whatever its figures are: a choice by value would shift every mean.
    """
    kept: dict[int, KeptResult] = {}
    runs = tuple(runs)
    for attempt in attempts:
        if attempt.manifest is None:
            continue
        layout = Layout(attempt.folder.path)
        entries = {entry.index: entry for entry in attempt.manifest.entries}
        for run in runs:
            if run.index in kept:
                continue
            result = valid_result(layout, entries.get(run.index), run)
            if result is not None:
                kept[run.index] = result
    return kept


def failed_runs(attempts: Iterable[Attempt]) -> frozenset[int]:
    """Return the indices of the runs that failed in some attempt."""
    return frozenset(
        entry.index
        for attempt in attempts
        if attempt.manifest is not None
        for entry in attempt.manifest.entries
        if entry.status == "failed"
    )


def n_fruitless(attempts: Iterable[Attempt]) -> int:
    """Return how many of the last attempts finished no run, without having been told to stop."""
    n = 0
    for attempt in attempts:
        state = None if attempt.record is None else attempt.record.state
        if attempt.n_finished or state == "reopened":
            n = 0
        elif state not in (None, "stopped", "fenced"):
            n += 1
    return n


def remove_scratch_of_killed(attempts: Iterable[Attempt]) -> None:
    """Delete the temporary files of attempts whose process was killed on this machine.

    Those of a process that may live belong to it.

    Raises:
        StudyError: a folder cannot be read.
    """
    for attempt in attempts:
        if not attempt.is_open or attempt.is_alive is not False:
            continue
        for folder in (attempt.folder.path, *attempt.folder.path.glob("[0-9]*_c[0-9]*")):
            try:
                with open_folder(folder) as number:
                    remove_scratch_in(number)
            except OSError as error:
                raise StudyError(f"{folder} cannot be read: {reason_of(error)}") from error
