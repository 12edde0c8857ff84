"""Which shards of a study have runs to do, by the files of the study alone."""

from __future__ import annotations

from pathlib import Path

from llem_runner._shards.stored_shard import StoredShard
from llem_runner._storage.divided_folder import DividedFolder


def open_shards(folder: str | Path, *, retry_failed: bool = False) -> tuple[int, ...]:
    """Return the numbers of the shards of which a run has neither a result nor failed.

    Args:
        folder: of the divided study.
        retry_failed: whether a run that has failed counts as open.

    Raises:
        StudyError: not the folder of a divided study, or a file of it is damaged.
    """
    divided = DividedFolder(Path(folder).absolute())
    numbers = (shard.number for shard in divided.read_plan().shards)
    return tuple(
        number
        for number in numbers
        if StoredShard.read(divided, number, retry_failed=retry_failed).open_runs
    )
