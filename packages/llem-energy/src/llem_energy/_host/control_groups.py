"""The control groups that this process is in, of version 1 or 2: memory limit and CPU limit.

A batch system or a container puts a process into a group inside other groups. The lowest limit of
all of them counts. Sources: cgroups(7), proc(5), "Control Group v2", "Memory Resource Controller"
and "CFS Bandwidth Control" in the documentation of Linux.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_LIMIT_FILES = {"cgroup2": "memory.max", "cgroup": "memory.limit_in_bytes"}
_STOPPED_KEYS = {"throttled_usec": 1e-6, "throttled_time": 1e-9}  # of version 2, of version 1


class _Mount(NamedTuple):
    """A mounted hierarchy of groups."""

    kind: str
    root: PurePosixPath
    """The group that is visible at `point`; groups above it are not visible."""
    point: Path


class CpuLimit(NamedTuple):
    """How often and how long the CPU limit of the groups has stopped them, since they exist."""

    n_stops: int
    stopped_s: float
    """Summed over the CPUs."""


def group_limit_bytes(process: Path = Path("/proc/self")) -> int | None:
    """Return the lowest memory limit in bytes of a process's groups; None if there is none.

    Args:
        process: folder of the process with its files `cgroup` and `mountinfo`.
    """
    limits = [
        limit
        for kind, folder in _group_folders(process, "memory")
        if (limit := _limit(folder / _LIMIT_FILES[kind])) is not None
    ]
    return min(limits, default=None)


def cpu_limit(process: Path) -> CpuLimit | None:
    """Return how the CPU limits of a process's groups have acted; None if that is not reported.

    Args:
        process: folder of the process with its files `cgroup` and `mountinfo`.
    """
    reports = [
        report
        for _, folder in _group_folders(process, "cpu")
        if (report := _stops(folder / "cpu.stat")) is not None
    ]
    if not reports:
        return None
    return CpuLimit(sum(r.n_stops for r in reports), sum(r.stopped_s for r in reports))


def _group_folders(process: Path, controller: str) -> list[tuple[str, Path]]:
    """Return kind and folder of the groups of a process that a controller can limit."""
    try:
        mounts = list(_mounts((process / "mountinfo").read_text("utf-8"), controller))
        groups = dict(_groups((process / "cgroup").read_text("utf-8"), controller))
    except (OSError, UnicodeDecodeError):
        return []
    return [
        (mount.kind, folder)
        for mount in mounts
        if mount.kind in groups
        for folder in _folders(mount, groups[mount.kind])
    ]


def _mounts(table: str, controller: str) -> Iterator[_Mount]:
    """Yield the hierarchies with a controller, from a `mountinfo`."""
    for line in table.splitlines():
        fields, _, rest = line.partition(" - ")
        place, more = fields.split(), rest.split()
        if len(place) < 5 or not more:
            continue
        is_controlled = more[0] == "cgroup2" or (
            more[0] == "cgroup" and controller in more[-1].split(",")
        )
        if is_controlled:
            root, point = (_unescaped(text) for text in place[3:5])
            yield _Mount(more[0], PurePosixPath(root), Path(point))


def _unescaped(path: str) -> str:
    for character in " \t\n\\":
        path = path.replace(f"\\{ord(character):03o}", character)
    return path


def _groups(table: str, controller: str) -> Iterator[tuple[str, PurePosixPath]]:
    """Yield the group of a process in each version, from its file `cgroup`."""
    for line in table.splitlines():
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        if number == "0" and not controllers:
            yield "cgroup2", PurePosixPath(path)
        elif controller in controllers.split(","):
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


def _stops(file: Path) -> CpuLimit | None:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    values = {key: value for key, _, value in (line.partition(" ") for line in lines)}
    for key, unit in _STOPPED_KEYS.items():
        if values.get(key, "").isdigit() and values.get("nr_throttled", "").isdigit():
            return CpuLimit(int(values["nr_throttled"]), int(values[key]) * unit)
    return None  # a root group has no limit
