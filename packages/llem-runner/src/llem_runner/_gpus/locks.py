"""Locks of GPUs: one study at a time, because two studies on one GPU disturb each other's results.

The system releases a lock when its process ends, for whatever reason.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path

from llem_runner._control import Control
from llem_runner._errors import StudyLocked
from llem_runner._events import Event, WaitingForGpu
from llem_runner._storage.lock import hold

# Not the folder in TMPDIR: a cluster may give each job its own, and then the lock has no effect.
_FOLDER = Path("/tmp")
_RETRY_S = 0.5


class Queue:
    """Waits for a GPU that another study uses, until it is free or a stop is requested."""

    def __init__(self, control: Control, on_event: Callable[[Event], None]) -> None:
        self._control = control
        self._on_event = on_event

    def hold(self, path: Path, uuid: str) -> contextlib.AbstractContextManager[object]:
        """Wait for the lock of a GPU and return it, held.

        Raises:
            KeyboardInterrupt: a stop was requested while waiting.
        """
        is_announced = False
        while True:
            if self._control.stop_requested:
                raise KeyboardInterrupt(f"stopped while waiting for GPU {uuid}; no run was started")
            with contextlib.ExitStack() as lock, contextlib.suppress(StudyLocked):
                lock.enter_context(hold(path, f"GPU {uuid}"))
                return lock.pop_all()
            if not is_announced:
                is_announced = True
                self._on_event(WaitingForGpu(uuid))
            wait([self._control.fileno()], timeout=_RETRY_S)


@contextlib.contextmanager
def hold_gpus(gpus: Sequence[str], queue: Queue | None = None) -> Iterator[None]:
    """Hold the locks of some GPUs.

    Args:
        gpus: their UUIDs.
        queue: to wait in while another study holds one of them; None raises an error instead.

    Raises:
        StudyLocked: another study holds one of them, and `queue` is None.
        KeyboardInterrupt: a stop was requested while waiting.
    """
    with contextlib.ExitStack() as locks:
        for uuid in sorted(gpus):  # always in this order, or two waiting studies could deadlock
            path = _FOLDER / f"llem-{uuid}.lock"
            locks.enter_context(
                hold(path, f"GPU {uuid}") if queue is None else queue.hold(path, uuid)
            )
        yield
