"""Whether other jobs of the machine can see a folder; some clusters give each job its own /tmp.

Source: proc_pid_mountinfo(5). A folder of a job is mounted on /tmp, so the root of that mount is a folder
such as /scratch/7012345/tmp, and not the root of a file system.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

MOUNTS = Path("/proc/self/mountinfo")


class _Mount(NamedTuple):
    root: str
    """The folder of the file system that is mounted."""
    point: str
    subvolume: str | None
    """Of a file system such as btrfs, where every mount has a folder as its root."""


def private_root(folder: Path, mounts: Path = MOUNTS) -> str | None:
    """Return the folder that is mounted in place of a shared one; None if it is shared.

    Args:
        folder: e.g. /tmp.
        mounts: the kernel's list of mounts of this process.
    """
    try:
        lines = mounts.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found = [mount for line in lines if (mount := _mount(line)) and mount.point == str(folder)]
    if not found:
        return None
    root = found[-1].root  # a later mount hides an earlier one
    # A container may have the folder of its host: then the root has the folder's own name.
    is_shared = root in ("/", str(folder), found[-1].subvolume)
    return None if is_shared else root


def _mount(line: str) -> _Mount | None:
    fields = line.split()
    if "-" not in fields or len(fields) < 8:
        return None
    options = fields[-1].split(",")
    subvolume = next((each[7:] for each in options if each.startswith("subvol=")), None)
    return _Mount(fields[3], fields[4], subvolume)
