"""The results of completed runs on disk: which are still what their run wrote."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import NamedTuple

from llem_config.foreign_files import ForeignFileError
from llem_energy import ExperimentResult, MeasurementError
from llem_energy.records import MAX_RESULT_BYTES, decode_result
from llem_runner._errors import StudyError
from llem_runner._plan.schedule import PlannedRun
from llem_runner._storage.atomic_files import MAX_JSON_BYTES
from llem_runner._storage.folders import folder_problem
from llem_runner._storage.layout import REQUESTS, RESULT, TIMESERIES, Layout
from llem_runner._storage.manifest import ManifestEntry, StudyManifest
from llem_runner._storage.run_files import has_complete_samples, opened_run_file, read_run_file
from llem_runner._storage.stale_handles import may_exist, read_file

_BLOCK_BYTES = 2**20


class KeptResult(NamedTuple):
    """A result that is valid, so that its run is not repeated."""

    path: Path
    sha256: str
    result: ExperimentResult


class StoredRun(NamedTuple):
    """The result of a completed run, as its file has it."""

    result: ExperimentResult
    is_changed: bool
    """Whether the file is not what the run wrote; a manifest of format 1 or 2 cannot tell."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a result file.

    Raises:
        ForeignFileError: it cannot be read, or is a link or too large.
    """
    return hashlib.sha256(_content(path)).hexdigest()


def digests_beside(result: Path) -> dict[str, str]:
    """Return the SHA-256 of the files that a run has written beside its result, by name.

    A file that cannot be read is left out.
    """
    digests = {}
    for name in (TIMESERIES, REQUESTS):
        with contextlib.suppress(ForeignFileError, OSError):
            digests[name] = sha256_of_large(result.parent / name)
    return digests


def sha256_of_large(path: Path) -> str:
    """Return the SHA-256 of a file of any size in the folder of a run; no link is followed.

    Raises:
        ForeignFileError: it is missing, or no regular file.
        OSError: it cannot be read.
    """
    if problem := folder_problem(path.parent):
        raise ForeignFileError(problem)
    digest = hashlib.sha256()
    with opened_run_file(path) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def stored_result(path: Path) -> ExperimentResult:
    """Read the result of a run in a study's folder; no link is followed.

    Raises:
        StudyError: the file cannot be read, or is a link, too large, damaged or of another format.
    """
    return _stored(path)[0]


def read_run_result(folder: str | Path, entry: ManifestEntry) -> ExperimentResult:
    """Read the result of a completed run of a study's folder; no link in the folder is followed.

    Args:
        folder: of the study.
        entry: of the run, from the manifest of the folder.

    Raises:
        StudyError: the run is not completed, or its file cannot be read, or is a link, too large,
            damaged or of another format.
    """
    return read_stored_run(folder, entry).result


def read_stored_run(folder: str | Path, entry: ManifestEntry) -> StoredRun:
    """Return the result of a completed run, and whether its file was changed since.

    Raises:
        StudyError: as `read_run_result`.
    """
    if entry.status != "completed" or entry.result_file is None:
        raise StudyError(
            f"{folder}: run {entry.index} has no result: expected a completed run, found one that "
            f"is {entry.status}"
        )
    result, digest = _stored(Path(folder) / entry.result_file)
    return StoredRun(result, is_changed=entry.result_sha256 not in (None, digest))


def valid_result(layout: Layout, entry: ManifestEntry | None, run: PlannedRun) -> KeptResult | None:
    """Return the result of a run that need not be repeated, or None.

    A crash between writing the result and the manifest leaves a `running` entry and a good result.

    Args:
        layout: of the folder of the run's folder.
        entry: of the run in the manifest of that folder; None: it has none.
        run: the run.
    """
    if entry is None:
        return None
    return intact_result(layout.run_folder(run) / RESULT, entry)


def intact_result(path: Path, entry: ManifestEntry) -> KeptResult | None:
    """Return the result of a run if its file is what the run wrote, or None.

    Args:
        path: of the file.
        entry: of the run; one that is `running` may have a result that it does not say.
    """
    if entry.status not in ("completed", "running"):
        return None
    try:
        content = _content(path)
        result, digest = decode_result(content, path), hashlib.sha256(content).hexdigest()
    except (MeasurementError, ForeignFileError):
        return None
    if result.timeseries_file and not _is_complete(path.parent, result.timeseries_file):
        return None
    if result.measurement_config_hash != entry.config_hash:
        return None
    if entry.result_sha256 not in (None, digest):
        return None
    return KeptResult(path, digest, result)


def changed_results(layout: Layout, manifest: StudyManifest) -> list[str]:
    """Return a sentence for each completed run whose result is not the file that the run wrote."""
    return [
        f"the result of run {entry.index} ({entry.result_file}) is not the file that the run wrote"
        for entry in manifest.entries
        if entry.status == "completed"
        and entry.result_file is not None
        and entry.result_sha256 not in (None, _digest(layout.folder / entry.result_file))
    ]


def changed_study_result(layout: Layout, manifest: StudyManifest) -> str | None:
    """Return a sentence if `study_result.json` is not the file that the study wrote, or None."""
    path = layout.study_result
    if manifest.study_result_sha256 is None or not may_exist(path):
        return None
    try:
        content = read_file(path, max_bytes=MAX_JSON_BYTES)
    except ForeignFileError:
        content = b""
    if hashlib.sha256(content).hexdigest() == manifest.study_result_sha256:
        return None
    return f"{path.name} is not the file that the study wrote; resume the study to write it again"


def _stored(path: Path) -> tuple[ExperimentResult, str]:
    """Return the result in a file, and the digest of the file."""
    try:
        content = _content(path)
        return decode_result(content, path), hashlib.sha256(content).hexdigest()
    except (ForeignFileError, MeasurementError) as error:
        raise StudyError(str(error)) from error


def _content(path: Path) -> bytes:
    """Read a file in the folder of a run."""
    if problem := folder_problem(path.parent):
        raise ForeignFileError(problem)
    return read_run_file(path, max_bytes=MAX_RESULT_BYTES)


def _digest(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except ForeignFileError:
        return ""


def _is_complete(folder: Path, name: str) -> bool:
    """Return whether the samples of a run are complete; a name that leads out of the folder is not."""
    return name == TIMESERIES and has_complete_samples(folder / name)
