"""`pack_study`: one file for the runs of each attempt, because clusters limit the number of files."""

from __future__ import annotations

from pathlib import Path

import msgspec

from llem_runner._shards.stored_shard import StoredShard
from llem_runner._storage.attempts import Attempt
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.packing import Packed, pack_runs


class PackedStudy(msgspec.Struct, frozen=True, kw_only=True):
    """What was packed."""

    folder: str
    """Path of the study."""
    n_attempts: int = 0
    """Number of attempts of which files were packed now."""
    n_files: int = 0
    """Number of files that are in packs now, and were not before."""
    n_bytes: int = 0
    """Their size."""
    left: tuple[str, ...] = ()
    """A sentence for each shard, attempt or run that was not packed."""


def pack_study(folder: str | Path, *, even_if_running: bool = False) -> PackedStudy:
    """Pack the files of the runs of each shard that is complete, attempt by attempt.

    A shard is complete if each of its runs has a result or has failed. Readers of the study find the files
    in the packs. Packing again continues what was stopped.

    Args:
        folder: of the divided study.
        even_if_running: pack also an attempt of which it cannot be told from here whether its process has
            ended. If it still runs, its present run may get lost.

    Raises:
        StudyError: not the folder of a divided study, or a file of it is damaged; or a pack cannot be
            written, e.g. on a full disk. No file was removed then that is not in an intact pack.
    """
    divided = DividedFolder(Path(folder))
    done = PackedStudy(folder=str(folder))
    for shard in divided.read_plan().shards:
        stored = StoredShard.read(divided, shard.number, retry_failed=False)
        if stored.open_runs:
            open_runs = (
                f"shard {shard.number} is not packed, because {len(stored.open_runs)} of its "
                f"{len(stored.runs)} runs are left"
            )
            done = _added(done, Packed(0, 0, (open_runs,)))
            continue
        for attempt in stored.attempts:
            if sentence := _life_of(attempt, even_if_running=even_if_running):
                done = _added(done, Packed(0, 0, (sentence,)))
            else:
                done = _added(done, pack_runs(attempt.folder.path))
    return done


def pack_shard(folder: DividedFolder, number: int) -> PackedStudy:
    """Pack the attempts at a shard of which the files say that they have ended, if it is complete.

    Raises:
        StudyError: as `pack_study`.
    """
    stored = StoredShard.read(folder, number, retry_failed=False)
    done = PackedStudy(folder=str(folder.folder))
    if stored.open_runs:
        return done
    for attempt in stored.attempts:
        if attempt.record is not None and not attempt.is_open:
            done = _added(done, pack_runs(attempt.folder.path))
    return done


def _life_of(attempt: Attempt, *, even_if_running: bool) -> str | None:
    """Return why an attempt must not be packed; None if its process has ended."""
    alive = attempt.is_alive
    if alive is False or attempt.record is None or (alive is None and even_if_running):
        return None
    process = attempt.record.process
    who = f"{attempt.folder.path} is not packed, because process {process.pid} on {process.host}"
    if alive:
        return f"{who} is running"
    return f"{who} may be running; if you know that it is not, use --even-if-running"


def _added(done: PackedStudy, packed: Packed) -> PackedStudy:
    return msgspec.structs.replace(
        done,
        n_attempts=done.n_attempts + bool(packed.n_files),
        n_files=done.n_files + packed.n_files,
        n_bytes=done.n_bytes + packed.n_bytes,
        left=(*done.left, *packed.left),
    )
