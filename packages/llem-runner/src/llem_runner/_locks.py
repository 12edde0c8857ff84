"""One study at a time in a folder and on a GPU. A lock ends with its process, whatever its death.

Two studies on one GPU spoil each other's figures in silence.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import filelock

from llem_config import ExperimentConfig
from llem_energy import gpu_uuids
from llem_runner._errors import StudyError, StudyLocked
from llem_runner._layout import Layout

# Not the folder that TMPDIR names: a cluster gives each job its own, and the lock would be none.
_FOLDER = Path("/tmp")


@contextlib.contextmanager
def hold(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file while the context lasts.

    Raises:
        StudyLocked: another process holds it.
    """
    # Never a plain file as a lock, which would outlast a killed process.
    lock = filelock.FileLock(path, timeout=0, mode=0o666, fallback_to_soft=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise StudyLocked(f"{what} is in use by another study (lock file {path})") from error
    except OSError as error:
        raise StudyError(f"{what} cannot be locked: {path}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def is_running(folder: str | Path) -> bool:
    """Tell whether a process is running the study of this folder now.

    A manifest that says `running` without one was left by a process that was killed.
    """
    try:
        with hold(Layout(Path(folder)).lock, str(folder)):
            return False
    except StudyLocked:
        return True


@contextlib.contextmanager
def hold_gpus(experiments: Sequence[ExperimentConfig]) -> Iterator[None]:
    """Hold every GPU that these experiments may use.

    Raises:
        StudyLocked: another study is on one of them.
    """
    with contextlib.ExitStack() as locks:
        for uuid in gpus_of(experiments):
            path = _FOLDER / f"llem-{uuid}.lock"
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
