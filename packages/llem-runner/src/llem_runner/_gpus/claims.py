"""Claims on GPUs: files by which the studies of all users of a machine see one another.

A study publishes a locked file that everybody can read and only its owner can write. It is a claim
as long as it is locked, so it ends with its process. Another user can neither take nor keep nor
block the file of a study, because its name is new and its lock needs write access. Of two
claims the one that was published first counts: the kernel, not its owner, sets its change time.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path
from typing import NamedTuple

from llem_runner._errors import StudyError
from llem_runner._storage.lock_file import (
    describe,
    encode_holder,
    is_locked,
    open_lock,
    read_holder,
    take_lock,
)

# Not the folder in TMPDIR: a cluster may give each job its own, and then claims have no effect.
FOLDER = Path("/tmp")


class Claim(NamedTuple):
    """A claim that is held now."""

    order: tuple[int, int]
    """The smaller one of two was published first."""
    uid: int
    who: str
    path: Path


class OwnClaim:
    """A claim of this process, from when it is published until `close`."""

    def __init__(self, uuid: str, study: str) -> None:
        """Publish it.

        Raises:
            StudyError: the folder of the claims is not writable, or full.
        """
        name = f"{_prefix(uuid)}{os.getpid()}-{secrets.token_hex(8)}.lock"
        self.path = FOLDER / name
        draft = FOLDER / f".{name}"
        try:
            self._number = open_lock(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            os.fchmod(self._number, 0o644)
            os.write(self._number, encode_holder(study, uuid))
            take_lock(self._number)
            draft.rename(self.path)  # only now can others see it: complete and locked
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise StudyError(
                f"GPU {uuid} cannot be locked: {self.path}: {error.strerror}; make {FOLDER} "
                "writable, or free space there"
            ) from error
        self.order = _order(os.fstat(self._number))

    def close(self) -> None:
        """Withdraw it."""
        self.path.unlink(missing_ok=True)
        os.close(self._number)


def claims_on(uuid: str) -> list[Claim]:
    """Return all claims on a GPU; files of this user whose process has ended are removed."""
    with os.scandir(FOLDER) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(_prefix(uuid))]
    claims = []
    for name in names:
        path = FOLDER / name
        try:
            number = open_lock(path, os.O_RDONLY)
        except OSError:  # withdrawn, or no file of ours
            continue
        try:
            status = os.fstat(number)
            holder = read_holder(number)
            if stat.S_IMODE(status.st_mode) & 0o022 or holder is None or holder.gpu != uuid:
                continue
            if is_locked(number):
                claims.append(Claim(_order(status), status.st_uid, describe(number), path))
            elif status.st_uid == os.geteuid():
                with contextlib.suppress(OSError):
                    path.unlink()
        finally:
            os.close(number)
    return claims


def _prefix(uuid: str) -> str:
    return f"llem-{re.sub(r'[^A-Za-z0-9-]', '_', uuid)}."


def _order(status: os.stat_result) -> tuple[int, int]:
    return status.st_ctime_ns, status.st_ino
