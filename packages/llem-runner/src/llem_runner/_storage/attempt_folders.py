"""The folders of the attempts at a shard, each of which belongs to one process.

Every folder of an attempt has one writer, so no process waits for a lock of another machine.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from llem_runner._errors import StudyError
from llem_runner._storage.atomic_files import reason_of
from llem_runner._storage.folders import folder_problem
from llem_runner._storage.stale_handles import list_folder
from llem_runner._storage.stored_values import SHARDS

_ATTEMPT = re.compile(r"a([0-9]{1,12})")
MAX_ATTEMPTS = 999_999


class AttemptFolder(NamedTuple):
    """The folder of one attempt at a shard."""

    number: int
    path: Path


def shard_folder(study: Path, number: int) -> Path:
    """Return the folder of a shard."""
    return study / SHARDS / f"{number:04d}"


def attempt_folder(study: Path, shard: int, attempt: int) -> Path:
    """Return the folder of an attempt at a shard."""
    return _attempt_in(shard_folder(study, shard), attempt)


def attempt_folders(shard: Path) -> list[AttemptFolder]:
    """Return the folders of the attempts at a shard, first to last; holes are possible.

    Args:
        shard: folder of the shard.

    Raises:
        StudyError: the folder of the shard cannot be read, or one has another name than its number
            gives it: then it would not be clear which results count.
    """
    if problem := folder_problem(shard.parent) or folder_problem(shard):
        raise StudyError(problem)
    try:
        paths = list_folder(shard)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StudyError(f"{shard} cannot be read: {reason_of(error)}") from error
    found = [
        AttemptFolder(int(match[1]), path)
        for path in paths
        if (match := _ATTEMPT.fullmatch(path.name))
    ]
    if problem := next(filter(None, map(_problem_of, found)), None):
        raise StudyError(problem)
    return sorted(found)


def claim_attempt(shard: Path) -> AttemptFolder:
    """Make the folder of a new attempt, which belongs to this process alone.

    `mkdir` is exclusive on every file system that machines share. On NFS the reply may be lost
    and the request repeated; then the folder exists although it is ours, and stays empty.

    Args:
        shard: folder of the shard.

    Raises:
        StudyError: it cannot be made.
    """
    taken = attempt_folders(shard)
    attempt = taken[-1].number if taken else 0
    while attempt < MAX_ATTEMPTS:
        attempt += 1
        path = _attempt_in(shard, attempt)
        try:
            path.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise StudyError(f"{path} cannot be created: {reason_of(error)}") from error
        return AttemptFolder(attempt, path)
    raise StudyError(
        f"{shard}: expected at most {MAX_ATTEMPTS} attempts, found {len(taken)}; find out why they end "
        "without a result, and divide the study anew with `llem-cli study submit`"
    )


def _problem_of(folder: AttemptFolder) -> str | None:
    number, path = folder
    if not 1 <= number <= MAX_ATTEMPTS:
        return (
            f"{path}: expected the folder of an attempt from a01 to a{MAX_ATTEMPTS}, found {path.name}; "
            "move it out of the study"
        )
    expected = _attempt_in(path.parent, number)
    if path != expected:
        return (
            f"{path}: expected the name {expected.name} for attempt {number}, found {path.name}; rename it "
            f"to a number that is free, or move it out of the study"
        )
    return folder_problem(path)


def _attempt_in(shard: Path, attempt: int) -> Path:
    return shard / f"a{attempt:02d}"
