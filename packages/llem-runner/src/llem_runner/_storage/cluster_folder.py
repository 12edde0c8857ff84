"""`cluster/NAME`: the folder with what one cluster has said of a divided study.

Others may write in the folder of a study, so a name is checked before it becomes part of a path, and no
link is followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from llem_runner._errors import StudyError
from llem_runner._storage.atomic_files import reason_of, write_atomically
from llem_runner._storage.folders import folder_problem
from llem_runner._storage.stale_handles import may_exist

FOLDER = "cluster"
CLUSTER_NAME = "at most 64 letters, digits, dots, hyphens and underscores, a letter or digit first"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_cluster_name(name: str) -> bool:
    """Return whether a name can be that of a cluster's folder."""
    return _NAME.fullmatch(name) is not None


def cluster_files(folder: Path, name: str, *, strict: bool = False) -> Iterator[Path]:
    """Yield the files with a name that clusters have in a study's folder, in order of the clusters.

    Args:
        folder: of the study.
        name: of the files.
        strict: whether a link in place of a folder is an error; otherwise what is below it is left out.

    Raises:
        StudyError: the folder cannot be read, or is a link.
    """
    top = folder / FOLDER
    if problem := folder_problem(top):
        if strict:
            raise StudyError(problem)
        return
    try:
        folders = sorted(top.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise StudyError(f"{top} cannot be read: {reason_of(error)}") from error
    for own in folders:
        # Another user may have put a link here, through which nothing is read or written.
        if own.is_symlink() and strict:
            raise StudyError(folder_problem(own))
        if not folder_problem(own) and may_exist(own / name):
            yield own / name


def check_cluster_folder(folder: Path, name: str) -> Path:
    """Make the folder of a cluster in a study's folder, if there is none, and return it.

    Raises:
        StudyError: the cluster's name is none, one of the two folders is a link, or it cannot be made.
    """
    own, top = folder / FOLDER / name, folder / FOLDER
    if not is_cluster_name(name):
        raise StudyError(f"{own} cannot be written: expected the name of a cluster, {CLUSTER_NAME}")
    if problem := folder_problem(top) or folder_problem(own):
        raise StudyError(problem)
    try:
        own.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{own} cannot be created: {reason_of(error)}") from error
    return own


def write_cluster_file(path: Path, content: bytes) -> None:
    """Write a file of a cluster, and make its folders.

    Args:
        path: of the file, in the folder of a cluster in the folder of a study.
        content: of the file.

    Raises:
        StudyError: it is in no folder of a cluster, one of the two folders is a link, or the file cannot be
            written.
    """
    own, top = path.parent, path.parent.parent
    if top.name != FOLDER:
        raise StudyError(
            f"{path} cannot be written: expected the name of a cluster, {CLUSTER_NAME}"
        )
    check_cluster_folder(top.parent, own.name)
    write_atomically(path, content, follow_links=False)
