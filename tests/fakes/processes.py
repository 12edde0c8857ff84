"""The processes of runs that a test has started."""

from __future__ import annotations

import os
from pathlib import Path

_earlier: frozenset[int] = frozenset()


def forget_children() -> None:
    """Do not count what other tests have left in this process, such as a zombie."""
    global _earlier
    _earlier = frozenset()
    _earlier = _children()


def n_children() -> int:
    """Return how many processes of runs this process has; a zombie, which was not reaped, counts."""
    return len(_children())


def _children() -> frozenset[int]:
    pids = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            command = stat.with_name("cmdline").read_bytes()
        except OSError:
            continue
        is_run = command.endswith(b"\0llem-run\0") or fields[0] == "Z"
        if int(fields[1]) == os.getpid() and is_run:
            pids.add(int(stat.parent.name))
    return frozenset(pids) - _earlier
