"""Checks the files of a study's folder against the digests in its manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from llem_config import StudyConfig
from llem_config.foreign_files import ForeignFileError, read_bytes
from llem_energy import ExperimentResult, MeasurementError
from llem_energy.records import MAX_RESULT_BYTES, NewerResultError, decode_result
from llem_runner._archives.checked_file import CheckedFile, FileCause, doubtful_file
from llem_runner._errors import NewerFormatError, StudyError
from llem_runner._storage.atomic_files import MAX_JSON_BYTES
from llem_runner._storage.folders import folder_problem
from llem_runner._storage.input_files import digest_inputs
from llem_runner._storage.layout import REQUESTS, TIMESERIES, Layout
from llem_runner._storage.manifest import ManifestEntry, StudyManifest, read_manifest_file
from llem_runner._storage.resolved_digest import study_file_digest
from llem_runner._storage.result_files import sha256_of_large
from llem_runner._storage.run_files import read_run_file
from llem_runner._storage.stale_handles import may_exist
from llem_runner._storage.study_result import read_study_result

_REASONS: dict[FileCause, str] = {
    "not found": "it is not in the folder",
    "no digest": "manifest.json has no digest of it",
    "other digest": "its SHA-256 is not the one in manifest.json",
    "not understood": "it cannot be read",
    "damaged": "it is damaged",
}


class Results:
    """The results that were read on the way, so that each file is read once."""

    def __init__(self) -> None:
        """Begin with none."""
        self.by_index: dict[int, ExperimentResult] = {}


def check_files(
    layout: Layout,
    manifest: StudyManifest,
    study: StudyConfig | None,
    results: Results,
    *,
    is_of_other_package: bool = False,
) -> Iterator[CheckedFile]:
    """Yield every file that the study should have, with its state.

    Args:
        layout: of the folder.
        manifest: of the folder.
        study: of the folder; None if it cannot be read.
        results: gets the result of each run that can be read.
        is_of_other_package: whether the study cannot be read only because the package of its backend is
            not installed; its digest tells all the same whether the file was changed.
    """
    yield from _input_files(layout, manifest, study, can_be_unread=is_of_other_package)
    yield from _study_result(layout, manifest)
    for entry in manifest.entries:
        if entry.status == "completed" and entry.result_file is not None:
            yield from _run_files(layout, entry, results)


def check_merged(layout: Layout, manifest: StudyManifest) -> Iterator[CheckedFile]:
    """Yield the files of each run of which `manifest.json` and the attempts differ.

    The attempts at a shard have digests of their own, which a person could change with the results.

    Args:
        layout: of the folder of a divided study.
        manifest: merged from its attempts as they are now.
    """
    now = {(entry.result_file, entry.result_sha256) for entry in manifest.entries}
    for entry in read_manifest_file(layout.manifest).entries:
        if entry.result_file is None or (entry.result_file, entry.result_sha256) in now:
            continue
        yield from _run_files(layout, entry, Results())


def _input_files(
    layout: Layout, manifest: StudyManifest, study: StudyConfig | None, *, can_be_unread: bool
) -> Iterator[CheckedFile]:
    now = digest_inputs(layout)
    before = manifest.study_file_sha256
    # A manifest with digests but without this one is of a study that was built in Python.
    is_unknown = manifest.resolved_sha256 is None and now.study_file_sha256 is not None
    if before is not None or is_unknown:
        yield _compared(layout.source.name, before, now.study_file_sha256)
    for extension in manifest.extensions:
        if extension.study_file is not None:
            digest = study_file_digest(layout.folder / extension.study_file)
            yield _compared(extension.study_file, extension.study_file_sha256, digest)
    resolved = _compared(layout.resolved.name, manifest.resolved_sha256, now.resolved_sha256)
    if study is None and not can_be_unread and resolved.state in ("intact", "unverifiable"):
        resolved = _doubtful(resolved.name, "not understood")
    elif study is not None and study.study_design_hash != manifest.study_design_hash:
        reason = f"its points have another hash than {manifest.study_design_hash}"
        resolved = _doubtful(resolved.name, "other point", reason)
    yield resolved


def _study_result(layout: Layout, manifest: StudyManifest) -> Iterator[CheckedFile]:
    before, now = manifest.study_result_sha256, _digest(layout.study_result, MAX_JSON_BYTES)
    if before is None and now is None:
        return
    checked = _compared(layout.study_result.name, before, now)
    if checked.state in ("intact", "unverifiable"):
        try:
            read_study_result(layout.folder)
        except NewerFormatError as error:
            reason = str(error).removeprefix(f"{layout.study_result}: ")
            checked = _doubtful(checked.name, "newer format", reason)
        except StudyError:
            checked = _doubtful(checked.name, "not understood")
    yield checked


def _run_files(layout: Layout, entry: ManifestEntry, results: Results) -> Iterator[CheckedFile]:
    name = str(entry.result_file)
    path = layout.folder / name
    if problem := folder_problem(path.parent):
        yield _doubtful(name, "not opened", problem)
        return
    try:
        content = read_run_file(path, max_bytes=MAX_RESULT_BYTES)
    except ForeignFileError as error:
        yield _unreadable(name, error)
        return
    checked = _compared(name, entry.result_sha256, hashlib.sha256(content).hexdigest())
    try:
        result = decode_result(content, path)
    except NewerResultError as error:
        if checked.state != "changed":
            reason = str(error).removeprefix(f"{path}: ")
            checked = _doubtful(name, "newer format", reason)
        yield checked
        return
    except MeasurementError:
        if checked.state != "changed":
            checked = _doubtful(name, "damaged")
        yield checked
        return
    results.by_index[entry.index] = result
    if result.measurement_config_hash != entry.config_hash:
        reason = f"it belongs to another point than {entry.config_hash}"
        checked = _doubtful(name, "other point", reason)
    yield checked
    expected = {*entry.files_sha256, *filter(None, (result.timeseries_file, result.requests_file))}
    for beside in sorted(expected & {TIMESERIES, REQUESTS}):
        yield _beside(path.parent / beside, f"{Path(name).parent}/{beside}", entry)


def _beside(path: Path, name: str, entry: ManifestEntry) -> CheckedFile:
    try:
        digest = sha256_of_large(path)
    except (ForeignFileError, OSError) as error:
        return _unreadable(name, error)
    return _compared(name, entry.files_sha256.get(path.name), digest)


def _compared(name: str, before: str | None, now: str | None) -> CheckedFile:
    if now is None:
        return _doubtful(name, "not found")
    if before is None:
        return _doubtful(name, "no digest")
    if before != now:
        return _doubtful(name, "other digest")
    return CheckedFile(name=name, state="intact")


def _unreadable(name: str, error: Exception) -> CheckedFile:
    cause = error.__cause__ if isinstance(error, ForeignFileError) else error
    if isinstance(cause, FileNotFoundError):
        return _doubtful(name, "not found")
    return _doubtful(name, "not opened", f"it cannot be read: {error}")


def _doubtful(name: str, cause: FileCause, reason: str | None = None) -> CheckedFile:
    """Return a file that is not intact; None is the usual reason of its cause."""
    return doubtful_file(name, cause, reason or _REASONS[cause])


def _digest(path: Path, max_bytes: int) -> str | None:
    """Return the digest of a file; None if there is none, and of nothing if it cannot be read."""
    if not may_exist(path):
        return None
    try:
        content = read_bytes(path, max_bytes=max_bytes, follow_links=False)
    except ForeignFileError:
        content = b""
    return hashlib.sha256(content).hexdigest()
