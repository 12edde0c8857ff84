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
from llem_runner._storage.tickets import FOLDER

CLUSTER_NAME = "at most 64 letters, digits, dots, hyphens and underscores, a letter or digit first"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_cluster_name(name: str) -> bool:
    """Return whether a name can be that of a cluster's folder."""
    return _NAME.fullmatch(name) is not None


def cluster_files(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files with a name that clusters have in a study's folder, in order of the clusters.

    What is below a link is left out.

    Raises:
        StudyError: the folder cannot be read.
    """
    top = folder / FOLDER
    if folder_problem(top):
        return
    try:
        files = sorted(top.glob(f"*/{name}"))
    except OSError as error:
        raise StudyError(f"{top} cannot be read: {reason_of(error)}") from error
    yield from (file for file in files if not folder_problem(file.parent))


def write_cluster_file(path: Path, content: bytes) -> None:
    """Write a file of a cluster, and make its folders.

    Args:
        path: of the file, in the folder of a cluster in the folder of a study.
        content: of the file.

    Raises:
        StudyError: the cluster's name is none, one of the two folders is a link, or the file cannot be
            written.
    """
    own, top = path.parent, path.parent.parent
    if top.name != FOLDER or not is_cluster_name(own.name):
        raise StudyError(
            f"{path} cannot be written: expected the name of a cluster, {CLUSTER_NAME}"
        )
    if problem := folder_problem(top) or folder_problem(own):
        raise StudyError(problem)
    try:
        own.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{own} cannot be created: {reason_of(error)}") from error
    write_atomically(path, content, follow_links=False)
