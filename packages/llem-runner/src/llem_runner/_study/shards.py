"""The studies that are merged into one: read, checked, and whether their runs belong together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from llem_config import StudyConfig
from llem_config.foreign_files import ForeignFileError
from llem_energy import ExperimentResult
from llem_runner._errors import StudyError
from llem_runner._storage.input_files import changed_resolved
from llem_runner._storage.layout import Layout
from llem_runner._storage.lock import is_running
from llem_runner._storage.manifest import ManifestEntry, StudyManifest
from llem_runner._storage.manifest_reader import read_manifest
from llem_runner._storage.measurement_protocol import MeasurementProtocol
from llem_runner._storage.result_files import read_run_result
from llem_runner._storage.stale_handles import may_exist
from llem_runner._storage.study_reader import read_study
from llem_runner._storage.study_result import read_study_result

_MAY_DIFFER = frozenset({"n_cycles", "energy_sources", "executors"})
_MAX_LINES = 5


class Shard(NamedTuple):
    """A study that becomes a part of a merged one."""

    folder: Path
    manifest: StudyManifest
    study: StudyConfig
    protocol: MeasurementProtocol | None
    """None if the study was killed before it wrote its result."""

    @property
    def points(self) -> frozenset[str]:
        """Return the hashes of its points."""
        return frozenset(self.study.config_hashes)


class ShardRun(NamedTuple):
    """A completed run of a shard."""

    entry: ManifestEntry
    result: ExperimentResult


def read_shard(folder: Path) -> Shard:
    """Read a study that is to be merged.

    Raises:
        StudyError: not a study folder, a damaged one, one that is running, or a divided study.
    """
    manifest = read_manifest(folder)
    if manifest.is_divided:  # its runs are in folders below those of its shards
        raise StudyError(
            f"{folder} is divided into {len(manifest.shards)} shards: expected studies in one folder each; "
            f"`llem-cli study merge {folder}` merges its shards, and `study compare` compares studies"
        )
    if _is_running(folder, manifest):
        raise StudyError(f"{folder} is running; merge it when its study has ended")
    study = read_study(folder)
    if changed := changed_resolved(Layout(folder), manifest):
        raise StudyError(changed)
    if manifest.study_design_hash != study.study_design_hash:
        raise StudyError(
            f"{folder}: study_resolved.json has the design hash {study.study_design_hash}, the "
            f"manifest has {manifest.study_design_hash}; these files belong to two studies"
        )
    unknown = {entry.config_hash for entry in manifest.entries} - set(study.config_hashes)
    if unknown:
        raise StudyError(f"{folder}: the manifest does not list the runs of its study")
    protocol = None
    if may_exist(Layout(folder).study_result):
        protocol = read_study_result(folder).measurement_protocol
    return Shard(folder, manifest, study, protocol)


def _is_running(folder: Path, manifest: StudyManifest) -> bool:
    try:
        return is_running(folder)
    except StudyError:  # no access to the lock file of another user
        return manifest.status == "running"


def check_shards(shards: Sequence[Shard]) -> None:
    """Return if the runs of some studies belong into one.

    Raises:
        StudyError: they were measured by other versions of llem or with other settings, or they
            have some points in common, but not all.
    """
    first = shards[0]
    for other in shards[1:]:
        lines = [
            *_version_differences(first.manifest.versions, other.manifest.versions),
            *_execution_differences(first, other),
        ]
        if lines:
            more = f"; and {len(lines) - _MAX_LINES} more" if len(lines) > _MAX_LINES else ""
            raise StudyError(
                f"{first.folder} and {other.folder} cannot be merged, because their runs are not "
                f"comparable: {'; '.join(lines[:_MAX_LINES])}{more}; use `study compare`"
            )
    for first, other in combinations(shards, 2):
        n_common = len(first.points & other.points)
        if n_common and first.points != other.points:
            raise StudyError(
                f"{first.folder} and {other.folder} have {n_common} points in common, but not all: "
                f"expected all points or none, found {len(first.points)} and {len(other.points)} "
                "points; merge studies of one study file"
            )


def _version_differences(first: Mapping[str, str], other: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*first, *other}):
        if first.get(name) != other.get(name):
            yield f"{name} {first.get(name, 'none')} and {other.get(name, 'none')}"


def _execution_differences(first: Shard, other: Shard) -> Iterator[str]:
    yield from _field_differences(
        first.study.execution.model_dump(), other.study.execution.model_dump()
    )
    if first.protocol is not None and other.protocol is not None:
        planned = set(type(first.study.execution).model_fields)
        protocols = [
            {name: getattr(each, name) for name in each.__struct_fields__ if name not in planned}
            for each in (first.protocol, other.protocol)
        ]
        yield from _field_differences(*protocols)


def _field_differences(first: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for name, value in first.items():
        if name not in _MAY_DIFFER and value != other[name]:
            yield f"{name} {value} and {other[name]}"


def completed_runs(shard: Shard) -> Iterator[ShardRun | tuple[ManifestEntry, str]]:
    """Yield each completed run with its result, or with the sentence why it cannot be used."""
    for entry in shard.manifest.entries:
        if entry.status != "completed":
            continue
        try:
            result = read_run_result(shard.folder, entry)
        except (StudyError, ForeignFileError) as error:
            yield entry, str(error)
            continue
        if result.measurement_config_hash != entry.config_hash:
            path = shard.folder / str(entry.result_file)
            yield entry, f"{path} is the result of another experiment than planned"
            continue
        yield ShardRun(entry, result)


def identity_of(result: ExperimentResult) -> bytes:
    """Return what two copies of one run have in common, and two runs have not."""
    text = f"{result.measurement_config_hash} {result.started_at}"
    return hashlib.sha256(text.encode()).digest()
