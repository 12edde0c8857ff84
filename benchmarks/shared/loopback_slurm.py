"""A Slurm on this machine for the time of a benchmark, with a folder for its studies."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from slurm.loopback import Loopback, started


@contextlib.contextmanager
def loopback_slurm() -> Iterator[tuple[Loopback, Path]]:
    """Start a Slurm with two nodes, whose commands this process and its children call from here on.

    Yields:
        The Slurm and an empty folder, which is removed at the end.
    """
    work = Path(tempfile.mkdtemp(prefix="llem-benchmark-"))
    try:
        with started() as slurm:
            os.environ |= {name: slurm.environment[name] for name in ("PATH", "SLURM_CONF")}
            yield slurm, work
    finally:
        shutil.rmtree(work, ignore_errors=True)
