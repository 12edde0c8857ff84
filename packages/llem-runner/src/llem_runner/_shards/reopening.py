"""`reopen_shards`: more attempts at shards whose last attempts finished no run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llem_runner._storage.attempt_record import AttemptWriter, new_record
from llem_runner._storage.attempts import MAX_FRUITLESS, n_fruitless, read_attempts
from llem_runner._storage.divided_folder import DividedFolder


def reopen_shards(folder: str | Path, numbers: Sequence[int]) -> None:
    """Allow more attempts at shards whose last attempts finished no run.

    It makes an attempt of its own, and a process that runs the shard ends for any later attempt. So it
    must come before such a process starts.

    Raises:
        StudyError: a file is damaged, or cannot be written.
    """
    divided = DividedFolder(Path(folder))
    for number in numbers:
        if n_fruitless(read_attempts(divided, number)) >= MAX_FRUITLESS:
            claimed = divided.claim_attempt(number)
            AttemptWriter(claimed, new_record(number, claimed.number, "reopened"))
