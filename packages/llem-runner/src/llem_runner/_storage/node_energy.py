"""What the accounting of clusters says of the energy of whole machines: a cross-check, never a result.

`cluster/NAME/node_energy.json` has one record for each attempt. Only a merge writes it, so that what
is merged afterwards depends on files alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from llem_runner._errors import StudyError
from llem_runner._storage.atomic_files import encode_json, read_json, reason_of, write_atomically
from llem_runner._storage.tickets import FOLDER

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

    Raises:
        StudyError: a file is damaged.
    """
    try:
        files = sorted((folder / FOLDER).glob("*/node_energy.json"))
    except OSError as error:
        raise StudyError(f"{folder / FOLDER} cannot be read: {reason_of(error)}") from error
    records = [record for file in files for record in read_json(file, NodeEnergyFile).records]
    return tuple(sorted(records, key=_place))


def add_node_energy(folder: Path, new: Iterable[NodeEnergyRecord]) -> None:
    """Save what a cluster has said of attempts; what is known of an attempt stays as it is.

    Raises:
        StudyError: a file is damaged, or cannot be written.
    """
    by_cluster: dict[str, list[NodeEnergyRecord]] = {}
    for record in new:
        by_cluster.setdefault(record.cluster, []).append(record)
    for name, records in by_cluster.items():
        path = folder / FOLDER / name / "node_energy.json"
        old = read_json(path, NodeEnergyFile).records if path.exists() else ()
        known = {_place(record) for record in old}
        added = [record for record in records if _place(record) not in known]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StudyError(f"{path.parent} cannot be created: {reason_of(error)}") from error
        if added:
            ordered = tuple(sorted((*old, *added), key=_place))
            write_atomically(path, encode_json(NodeEnergyFile(records=ordered)))


def _place(record: NodeEnergyRecord) -> tuple[int, int]:
    return record.shard, record.attempt
