"""What the accounting of clusters says of the energy of whole machines: a cross-check, never a result.

`cluster/NAME/node_energy.json` has one record for each attempt. Only a merge writes it, so that what
is merged afterwards depends on files alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from llem_config.foreign_files import ForeignFileError
from llem_runner._errors import StudyError
from llem_runner._storage.atomic_files import MAX_JSON_BYTES, encode_json, read_json
from llem_runner._storage.cluster_folder import (
    FOLDER,
    check_cluster_folder,
    cluster_files,
    write_cluster_file,
)
from llem_runner._storage.folders import folder_problem
from llem_runner._storage.stale_handles import may_exist, read_file

_FILE = "node_energy.json"

Coverage = Literal["machine", "processor", "gpus"]
"""Which joules a meter counts: all of a machine, its processors and their memory, or all its GPUs."""


class NodeEnergyRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The energy of a whole machine while a job ran there that made one attempt at a shard."""

    shard: int
    attempt: int
    cluster: str
    job: str
    machine: str | None
    whole_machine: bool | None
    """Whether no other job could be on the machine; None if it is not known."""
    energy_j: float | None
    """Joules from the start of the job to its end, idle times included; None: see `reason`."""
    reason: str | None = None
    """Why it is missing."""
    meter: str | None = None
    """What counted it, as the cluster names it, such as ipmi."""
    covers: Coverage | None = None
    started_at: str | None = None
    """Of the job, in UTC, whole seconds."""
    ended_at: str | None = None


class NodeEnergyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `node_energy.json`."""

    schema_version: Literal[1] = 1
    records: tuple[NodeEnergyRecord, ...]
    """In order of shard and attempt."""


def read_node_energy(folder: Path) -> tuple[NodeEnergyRecord, ...]:
    """Return what all clusters have said of a study; () if none was asked.

    A damaged file is left out: `damaged_node_energy` names it.

    Raises:
        StudyError: the folder cannot be read.
    """
    records = [record for file in cluster_files(folder, _FILE) for record in _read(file)[0]]
    return tuple(sorted(records, key=_place))


def damaged_node_energy(folder: str | Path) -> tuple[str, ...]:
    """Return a sentence for each damaged file with the energy of machines.

    Raises:
        StudyError: the folder cannot be read.
    """
    files = cluster_files(Path(folder), _FILE)
    return tuple(
        f"{problem.partition('; restore it')[0]}; the energy of whole machines in it is left out, and "
        "the next `study merge` asks the cluster again"
        for file in files
        if (problem := _read(file)[1])
    )


def add_node_energy(folder: Path, new: Iterable[NodeEnergyRecord]) -> None:
    """Save what a cluster has said of attempts; what is known of an attempt stays as it is.

    Raises:
        StudyError: a file cannot be written, or would be written below a link; or the old one cannot be
            read, and what it has would be lost.
    """
    by_cluster: dict[str, list[NodeEnergyRecord]] = {}
    for record in new:
        by_cluster.setdefault(record.cluster, []).append(record)
    for name, records in by_cluster.items():
        path = folder / FOLDER / name / _FILE
        check_cluster_folder(folder, name)
        if may_exist(path):
            _check_readable(path)
        old = _read(path)[0]
        known = {_place(record) for record in old}
        added = [record for record in records if _place(record) not in known]
        if added:
            ordered = tuple(sorted((*old, *added), key=_place))
            write_cluster_file(path, encode_json(NodeEnergyFile(records=ordered)))


def _read(path: Path) -> tuple[tuple[NodeEnergyRecord, ...], str]:
    """Return the records of a file, and why it cannot be used; no file has no records."""
    if folder_problem(path.parent) or not may_exist(path):
        return (), ""
    try:
        return read_json(path, NodeEnergyFile).records, ""
    except StudyError as error:  # no figure uses it, so it must not stop the study
        return (), str(error)


def _check_readable(path: Path) -> None:
    """Return if the system can read a file; what is in it may be damaged.

    Raises:
        StudyError: it cannot, e.g. because of a disk error.
    """
    try:
        read_file(path, max_bytes=MAX_JSON_BYTES)
    except ForeignFileError as error:
        if isinstance(error.__cause__, OSError):  # otherwise it is no regular file, or too large
            raise StudyError(str(error)) from error


def _place(record: NodeEnergyRecord) -> tuple[int, int]:
    return record.shard, record.attempt
