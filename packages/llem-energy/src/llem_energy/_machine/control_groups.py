"""The memory limit of the control groups that this process is in, of version 1 or 2.

A batch system or a container puts a process into a group inside other groups. The lowest limit of
all of them counts. Sources: cgroups(7), proc(5), "Control Group v2" and "Memory Resource
Controller" in the documentation of Linux.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_LIMIT_FILES = {"cgroup2": "memory.max", "cgroup": "memory.limit_in_bytes"}


class _Mount(NamedTuple):
    """A mounted hierarchy of groups."""

    kind: str
    root: PurePosixPath
    """The group that is visible at `point`; groups above it are not visible."""
    point: Path


def group_limit_bytes(process: Path = Path("/proc/self")) -> int | None:
    """Return the lowest memory limit in bytes of a process's groups; None if there is none.

    Args:
        process: folder of the process with its files `cgroup` and `mountinfo`.
    """
    try:
        mounts = list(_mounts((process / "mountinfo").read_text("utf-8")))
        groups = dict(_groups((process / "cgroup").read_text("utf-8")))
    except (OSError, UnicodeDecodeError):
        return None
    limits = [
        limit
        for mount in mounts
        if mount.kind in groups
        for folder in _folders(mount, groups[mount.kind])
        if (limit := _limit(folder / _LIMIT_FILES[mount.kind])) is not None
    ]
    return min(limits, default=None)


def _mounts(table: str) -> Iterator[_Mount]:
    """Yield the hierarchies that limit memory, from a `mountinfo`."""
    for line in table.splitlines():
        fields, _, rest = line.partition(" - ")
        place, more = fields.split(), rest.split()
        if len(place) < 5 or not more:
            continue
        is_memory = more[0] == "cgroup2" or (
            more[0] == "cgroup" and "memory" in more[-1].split(",")
        )
        if is_memory:
            root, point = (_unescaped(text) for text in place[3:5])
            yield _Mount(more[0], PurePosixPath(root), Path(point))


def _unescaped(path: str) -> str:
    for character in " \t\n\\":
        path = path.replace(f"\\{ord(character):03o}", character)
    return path


def _groups(table: str) -> Iterator[tuple[str, PurePosixPath]]:
    """Yield the group of a process in each version, from its file `cgroup`."""
    for line in table.splitlines():
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        if number == "0" and not controllers:
            yield "cgroup2", PurePosixPath(path)
        elif "memory" in controllers.split(","):
            yield "cgroup", PurePosixPath(path)


def _folders(mount: _Mount, group: PurePosixPath) -> Iterator[Path]:
    """Yield the folder of a group and of each group above it, as far as they are visible."""
    # A container may show its own group as the root and still name it by its full path.
    inside = group.relative_to(mount.root) if group.is_relative_to(mount.root) else group
    parts = [part for part in inside.parts if part not in ("/", "..")]
    for n_parts in range(len(parts), -1, -1):
        yield mount.point.joinpath(*parts[:n_parts])


def _limit(file: Path) -> int | None:
    try:
        text = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() else None  # `max` is no limit
