"""`merge_study`: the attempts at the shards of a divided study as one study."""

from __future__ import annotations

import contextlib
import gc
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from llem_config import LlemError, Settings
from llem_config.foreign_files import ForeignFileError, read_bytes
from llem_runner._analysis.node_energy import node_energies
from llem_runner._analysis.summary import summarise
from llem_runner._errors import StudyError, StudyLocked
from llem_runner._shards.cluster import Cluster
from llem_runner._shards.node_meter import ask_node_energy
from llem_runner._storage.atomic_files import MAX_JSON_BYTES, encode_json, write_atomically
from llem_runner._storage.attempts import Attempt, remove_scratch_of_killed
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.divided_manifest import merge_manifests, merge_runs
from llem_runner._storage.divided_records import PlanFile
from llem_runner._storage.input_files import changed_resolved
from llem_runner._storage.lock import hold
from llem_runner._storage.manifest import StudyManifest, read_manifest_file
from llem_runner._storage.manifest_reader import manifest_signature
from llem_runner._storage.manifest_writer import encode_manifest
from llem_runner._storage.node_energy import read_node_energy
from llem_runner._storage.stale_handles import may_exist
from llem_runner._storage.study_reader import read_study
from llem_runner._storage.study_result import StudyResult

_MAX_ROUNDS = 5
_GC_THRESHOLDS = (50_000, 20, 1_000_000)
"""See `gc.set_threshold`: the last one keeps Python from searching old objects."""


class Merged(NamedTuple):
    """A divided study as it is now."""

    manifest: StudyManifest
    result: StudyResult
    attempts: Mapping[int, Sequence[Attempt]]
    """By the number of their shard."""


def merge_study(folder: str | Path, *, write: bool = True) -> StudyResult:
    """Write `manifest.json` and `study_result.json` of a divided study, from all attempts at its shards.

    It may be done at any time, by anyone, and twice at once: the bytes depend only on the attempts. Of
    two results of a run, that of the first attempt counts. The attempts stay as they are.

    Args:
        folder: of the study.
        write: whether the files are written, and not only the statistics returned.

    Returns:
        The statistics over all results so far.

    Raises:
        StudyError: not the folder of a divided study, or it is damaged, or cannot be written.
    """
    divided = DividedFolder(Path(folder))
    if not write:
        return merge_in_memory(divided).result.stored_in(divided.folder)
    divided.read_plan()  # of another folder, the signature below raises no StudyError
    _finish_growth(divided)
    for _ in range(_MAX_ROUNDS):
        before = manifest_signature(divided.folder)
        merged = merge_in_memory(divided)
        content = encode_json(merged.result)
        digest = hashlib.sha256(content).hexdigest()
        manifest = msgspec.structs.replace(merged.manifest, study_result_sha256=digest)
        _replace(divided.layout.study_result, content)
        del content  # with 50,000 runs it is large, and so is the manifest
        _replace(divided.layout.manifest, encode_manifest(manifest))
        # A run may have ended meanwhile, and a merge that saw it may have written before this one.
        if manifest_signature(divided.folder) == before:
            break
    for attempts in merged.attempts.values():
        remove_scratch_of_killed(attempts)
    return merged.result.stored_in(divided.folder)


def _finish_growth(divided: DividedFolder) -> None:
    """Do what a process has left to do that was killed while it added shards."""
    if divided.is_divided() and may_exist(divided.next_plan):
        with (
            contextlib.suppress(StudyLocked),
            hold(divided.layout.lock, str(divided.folder), is_required=False),
        ):
            divided.finish_growth()


def merge_in_memory(divided: DividedFolder) -> Merged:
    """Return a divided study as it is now; nothing is written.

    Raises:
        StudyError: not the folder of a divided study, or it is damaged.
    """
    plan = divided.read_plan()
    with _rare_garbage_collection():
        try:
            return _merged(divided, plan)
        except StudyError:
            larger = divided.read_plan()
            if larger == plan:
                raise
            return _merged(divided, larger)  # shards were added just then


@contextlib.contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Let Python look for cyclic garbage among new objects only, and rarely.

    The millions of objects of a merge are not garbage, and each search among all of them takes seconds.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _merged(divided: DividedFolder, plan: PlanFile) -> Merged:
    manifest, results, attempts = merge_runs(divided)
    if changed := changed_resolved(divided.layout, manifest):
        raise StudyError(changed)
    result = summarise(
        read_study(divided.folder),
        divided.layout,
        manifest,
        Settings.model_validate(plan.origin.settings),
        limits_enforced=_limits_enforced(attempts),
        results=results,
        shards_per_cycle=plan.shards_per_cycle,
    )
    nodes = node_energies(read_node_energy(divided.folder), manifest.entries, results)
    summary = msgspec.structs.replace(result.summary, node_energy=nodes)
    result = msgspec.structs.replace(result, summary=summary)
    changes = tuple(dict.fromkeys((*manifest.input_changes, *summary.input_changes)))
    return Merged(msgspec.structs.replace(manifest, input_changes=changes), result, attempts)


def is_merged(folder: str | Path) -> bool:
    """Return whether `manifest.json` of a divided study has all that its attempts say now.

    Raises:
        StudyError: not the folder of a divided study, or it is damaged.
    """
    divided = DividedFolder(Path(folder))
    now = merge_manifests(divided)
    if not may_exist(divided.layout.manifest):
        return False
    before = read_manifest_file(divided.layout.manifest)
    return (before.status, before.entries) == (now.status, now.entries)


def merge_if_done(folder: DividedFolder, cluster: Cluster | None = None) -> bool:
    """Merge a study if no run of it is left, and return whether that was so.

    Several processes may find that at the same time, which does no harm.

    Args:
        folder: of the study.
        cluster: that started this process; its accounting may have the energy of its machines.

    Raises:
        StudyError: it is damaged, or cannot be written.
    """
    if not folder.is_divided():  # a shard that was copied alone
        return False
    totals = merge_manifests(folder).totals
    if totals.pending or totals.running or totals.interrupted:
        return False
    if cluster is not None:
        with contextlib.suppress(LlemError):  # the next `study merge` asks again
            ask_node_energy(folder.folder, cluster)
    merge_study(folder.folder)
    return True


def _limits_enforced(attempts: Mapping[int, Sequence[Attempt]]) -> bool:
    records = (attempt.record for each in attempts.values() for attempt in each)
    return all(record.limits_enforced is not False for record in records if record is not None)


def _replace(path: Path, content: bytes) -> None:
    """Write a file unless it has this content already."""
    with contextlib.suppress(ForeignFileError):
        if read_bytes(path, max_bytes=MAX_JSON_BYTES, follow_links=False) == content:
            return
    write_atomically(path, content)
