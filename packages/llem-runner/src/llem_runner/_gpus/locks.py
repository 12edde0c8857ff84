"""One study at a time in a folder and on a GPU. A lock ends with its process, whatever its death.

Two studies on one GPU spoil each other's figures in silence.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path

from llem_config import ExperimentConfig
from llem_energy import facts_of, gpu_uuids
from llem_runner._control import Control
from llem_runner._errors import StudyLocked
from llem_runner._events import Event, WaitingForGpu
from llem_runner._storage.lock import hold

# Not the folder that TMPDIR names: a cluster gives each job its own, and the lock would be none.
_FOLDER = Path("/tmp")
_ASK_EVERY_S = 0.5


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
    """Return the UUIDs of the GPUs that experiments may use; () if all run on the CPU.

    An experiment whose backend does not say where it runs may use every visible GPU.
    """
    if all(facts_of(config.backend).device(config) == "cpu" for config in experiments):
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
