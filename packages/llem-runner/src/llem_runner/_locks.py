"""One study at a time in a folder and on a GPU. A lock ends with its process, whatever its death.

Two studies on one GPU spoil each other's figures in silence.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path

import filelock

from llem_config import ExperimentConfig
from llem_energy import gpu_uuids
from llem_runner._control import Control
from llem_runner._errors import StudyError, StudyLocked
from llem_runner._events import Event, WaitingForGpu
from llem_runner._layout import Layout

# Not the folder that TMPDIR names: a cluster gives each job its own, and the lock would be none.
_FOLDER = Path("/tmp")
_ASK_EVERY_S = 0.5


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

    Raises:
        StudyError: the lock cannot be asked, e.g. in somebody else's folder.
    """
    lock = Layout(Path(folder)).lock
    if not lock.exists():  # whoever runs a study makes it first
        return False
    try:
        with hold(lock, str(folder)):
            return False
    except StudyLocked:
        return True


class Queue:
    """Waiting for a GPU that another study has, until it is free or the wait is stopped."""

    def __init__(self, control: Control, on_event: Callable[[Event], None]) -> None:
        self._control = control
        self._on_event = on_event

    def hold(self, path: Path, uuid: str) -> contextlib.AbstractContextManager[object]:
        """Return the lock of a GPU, which is held already.

        Raises:
            KeyboardInterrupt: a stop was asked for meanwhile.
        """
        told = False
        while True:
            if self._control.stop_requested:
                raise KeyboardInterrupt(f"stopped while waiting for GPU {uuid}; nothing was begun")
            with contextlib.ExitStack() as lock, contextlib.suppress(StudyLocked):
                lock.enter_context(hold(path, f"GPU {uuid}"))
                return lock.pop_all()
            if not told:
                told = True
                self._on_event(WaitingForGpu(uuid))
            wait([self._control.fileno()], timeout=_ASK_EVERY_S)


@contextlib.contextmanager
def hold_gpus(
    experiments: Sequence[ExperimentConfig], queue: Queue | None = None
) -> Iterator[tuple[str, ...]]:
    """Hold every GPU that these experiments may use, and give their UUIDs.

    Raises:
        StudyLocked: another study is on one of them, and there is no queue to wait in.
    """
    uuids = gpus_of(experiments)
    with contextlib.ExitStack() as locks:
        for uuid in sorted(uuids):  # in one order, or two waiting studies could block each other
            path = _FOLDER / f"llem-{uuid}.lock"
            locks.enter_context(
                hold(path, f"GPU {uuid}") if queue is None else queue.hold(path, uuid)
            )
        yield uuids


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
