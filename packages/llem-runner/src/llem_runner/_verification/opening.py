"""Opens a study to read its figures: an archive only if every digest in it agrees."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from llem_runner._archives.opening import OpenedStudy, open_files
from llem_runner._errors import StudyError
from llem_runner._verification.all_files import check_all


@contextlib.contextmanager
def open_study(path: str | Path) -> Iterator[OpenedStudy]:
    """Open a folder, or an archive until the context ends; neither is changed.

    Args:
        path: of the folder or of the archive.

    Raises:
        StudyError: the archive is damaged, not safe to unpack, was changed, or has files of a newer llem.

    An error of llem inside the context names the file in the archive, not the temporary one.
    """
    with open_files(path) as opened:
        if opened.archive is not None:
            _check(opened)
        yield opened


def _check(opened: OpenedStudy) -> None:
    """Do nothing if an archive is as it was made, and can be read.

    The list of checksums is compared first: a file that it calls changed may be no longer readable. Then
    come the digests in `manifest.json`, because a person can make the list of checksums again.
    """
    if opened.tampering:
        raise StudyError(opened.tampering)
    # A study file of other versions can be intact and not understood; the readers say what they need of it.
    files = tuple(file for file in check_all(opened).files if file.cause != "not understood")
    if problem := msgspec.structs.replace(opened, files=files).tampering:
        raise StudyError(opened.named(problem))
    for file in files:
        if file.cause == "newer format":
            raise StudyError(f"{opened.archive}: {file.name}: {file.reason}")
