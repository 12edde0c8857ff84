"""The attempts at a shard on disk: how they ended, and which results they have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from llem_config.foreign_files import ForeignFileError
from llem_runner._errors import StudyError
from llem_runner._plan.schedule import PlannedRun
from llem_runner._storage.atomic_files import is_cut_off, read_json, reason_of
from llem_runner._storage.attempt_folders import AttemptFolder
from llem_runner._storage.attempt_record import AttemptRecord, record_file
from llem_runner._storage.cluster_folder import CLUSTER_NAME, is_cluster_name
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.folders import open_folder, remove_scratch_in
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyManifest, read_manifest_file
from llem_runner._storage.pack_reading import members_of
from llem_runner._storage.rescued_runs import rescued_manifest
from llem_runner._storage.result_files import KeptResult, valid_result
from llem_runner._storage.run_files import pack_of
from llem_runner._storage.stale_handles import may_exist
from llem_runner._storage.stored_values import is_instant

MAX_FRUITLESS = 3
"""Attempts in a row without a finished run, after which a shard is not started again."""


class Attempt(NamedTuple):
    """One attempt, as it is on disk."""

    folder: AttemptFolder
    record: AttemptRecord | None
    """None if its process ended before it could write it, or if the file was cut off."""
    manifest: StudyManifest | None
    """None if it has begun no run. If the file was cut off, it has the runs with a complete result."""
    damage: tuple[str, ...] = ()
    """A sentence for each file that was cut off or damaged."""
    n_rescued: int = 0
    """Number of runs with a complete result, if the manifest was cut off."""

    @property
    def n_finished(self) -> int:
        """Return how many runs it has finished, with a result or without."""
        totals = None if self.manifest is None else self.manifest.totals
        return self.n_rescued + (0 if totals is None else totals.completed + totals.failed)

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


def read_attempts(folder: DividedFolder, shard: int, *, check_packs: bool = False) -> list[Attempt]:
    """Return the attempts at a shard, first to last.

    Args:
        folder: of the study.
        shard: its number.
        check_packs: whether a pack of runs that cannot be read is named; each is opened for that.

    Raises:
        StudyError: a file is damaged. One that was cut off is no error: no copy of it can be restored,
            and it must not stop the other attempts.
    """
    attempts = [_read_attempt(folder, shard, each) for each in folder.attempts(shard)]
    return list(map(_with_pack_damage, attempts)) if check_packs else attempts


def damaged_attempts(folder: str | Path) -> tuple[str, ...]:
    """Return a sentence for each file of an attempt that was cut off, and for each damaged pack of runs.

    Raises:
        StudyError: not the folder of a divided study, or it is damaged in another way.
    """
    divided = DividedFolder(Path(folder))
    return tuple(
        sentence
        for shard in divided.read_plan().shards
        for attempt in read_attempts(divided, shard.number, check_packs=True)
        for sentence in attempt.damage
    )


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


def _read_attempt(study: DividedFolder, shard: int, folder: AttemptFolder) -> Attempt:
    path, manifest_path = record_file(folder.path), Layout(folder.path).manifest
    damage: list[str] = []
    record, manifest, n_rescued = None, None, 0
    try:
        record = _read_record(path) if may_exist(path) else None
    except StudyError:
        if not is_cut_off(path):
            raise
        # Only its own process writes it, and never in parts: the disk or the machine failed.
        damage.append(
            f"{path} was cut off, as on a full disk or a lost machine: the attempt counts as ended, and "
            "its results count"
        )
    try:
        manifest = read_manifest_file(manifest_path) if may_exist(manifest_path) else None
    except StudyError:
        if not is_cut_off(manifest_path):
            raise
        manifest = rescued_manifest(folder, study.read_shard(shard)[0].origin)
        n_rescued = len(manifest.entries)
        damage.append(
            f"{manifest_path} was cut off, as on a full disk or a lost machine: "
            f"{n_rescued} runs of the attempt have a complete result and count, the others "
            "run again"
        )
    return Attempt(folder, record, manifest, tuple(damage), n_rescued)


def _with_pack_damage(attempt: Attempt) -> Attempt:
    pack = pack_of(attempt.folder.path)
    if pack is not None:
        try:
            members_of(pack)
        except ForeignFileError as error:
            sentence = f"{error}; until then the runs in it have no result"
            return attempt._replace(damage=(*attempt.damage, sentence))
    return attempt


def _read_record(path: Path) -> AttemptRecord:
    record = read_json(path, AttemptRecord)
    for name in ("started_at", "ended_at", "ends_at"):
        text = getattr(record, name)
        if text is not None and not is_instant(text):
            raise StudyError(
                f"{path} is damaged: {name}: expected a date and time, found {text!r}; restore it "
                "from a copy"
            )
    if record.cluster is not None and not is_cluster_name(record.cluster):
        raise StudyError(
            f"{path} is damaged: cluster: expected {CLUSTER_NAME}, found {record.cluster[:80]!r}; restore "
            "it from a copy"
        )
    return record


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
