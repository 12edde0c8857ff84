"""One study at a time in a folder and on a GPU. A lock ends with its process, whatever its death.

Two studies on one GPU spoil each other's figures in silence.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import filelock

from llem_config import ExperimentConfig
from llem_energy import gpu_uuids
from llem_runner._errors import StudyLocked


@contextlib.contextmanager
def hold(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file while the context lasts.

    Raises:
        StudyLocked: another process holds it.
    """
    lock = filelock.FileLock(path, timeout=0, mode=0o666)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise StudyLocked(f"{what} is in use by another study (lock file {path})") from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def hold_gpus(experiments: Sequence[ExperimentConfig]) -> Iterator[None]:
    """Hold every GPU that these experiments may use.

    Raises:
        StudyLocked: another study is on one of them.
    """
    with contextlib.ExitStack() as locks:
        for uuid in gpus_of(experiments):
            path = Path(tempfile.gettempdir()) / f"llem-{uuid}.lock"
            locks.enter_context(hold(path, f"GPU {uuid}"))
        yield


def gpus_of(experiments: Sequence[ExperimentConfig]) -> tuple[str, ...]:
    """Return the UUIDs of the GPUs that experiments may use; () if all run on the CPU."""
    if all(config.pytorch and config.pytorch.device == "cpu" for config in experiments):
        return ()
    every = gpu_uuids()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return every
    names = [name.strip() for name in visible.split(",") if name.strip()]
    if all(name.startswith("GPU-") for name in names):
        return tuple(uuid for uuid in every if uuid.startswith(tuple(names))) if names else ()
    # By number, CUDA may count in another order than the driver, so all of them are held.
    return every
