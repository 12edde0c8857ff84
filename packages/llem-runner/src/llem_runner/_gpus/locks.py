"""Locks of GPUs: one study at a time, because two studies on one GPU disturb each other's results."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path

from llem_runner._control import Control
from llem_runner._errors import StudyLocked
from llem_runner._events import Event, WaitingForGpu
from llem_runner._gpus.claims import FOLDER, Claim, OwnClaim, claims_on
from llem_runner._gpus.private_folder import MOUNTS, private_root
from llem_runner._gpus.state import Gpus

_RETRY_S, _LOOK_S = 0.5, 30.0
PATIENCE_S = 900.0
"""How long a waiting study respects the claim of another user who has no process on the GPU. It is
longer than the gaps of most studies, in which nothing is on the GPU. Without a limit, a process that
does nothing could keep all others off a GPU."""


class Queue:
    """Waits for a GPU that another study uses, until it is free or a stop is requested."""

    def __init__(
        self,
        control: Control,
        on_event: Callable[[Event], None],
        *,
        patience_s: float = PATIENCE_S,
        at_most_s: float = math.inf,
    ) -> None:
        """Make a queue; `at_most_s` is how long it waits for all GPUs together."""
        self._end_s = time.monotonic() + at_most_s
        self._control = control
        self._on_event = on_event
        self._patience_s = patience_s
        self._unused_since_s: dict[tuple[str, int], float] = {}
        """By GPU and user, not by claim, because a user can renew a claim any number of times."""
        self._next_look_s = 0.0

    def hold(self, uuid: str, study: str) -> OwnClaim:
        """Wait for a GPU and claim it.

        Raises:
            StudyLocked: it did not become free in time.
            KeyboardInterrupt: a stop was requested while waiting.
        """
        is_announced = False
        while True:
            if self._control.stop_requested:
                raise KeyboardInterrupt(f"stopped while waiting for GPU {uuid}; no run was started")
            obstacles = self._respected(uuid, claims_on(uuid))
            if not obstacles:
                with contextlib.suppress(StudyLocked):
                    return claim(uuid, study, ignored=self._without_patience(uuid))
            elif not is_announced:
                is_announced = True
                self._on_event(WaitingForGpu(uuid, obstacles[0].who))
            if time.monotonic() >= self._end_s:
                raise StudyLocked(f"GPU {uuid} is still in use by another study")
            wait([self._control.fileno()], timeout=_RETRY_S)

    def _respected(self, uuid: str, claims: list[Claim]) -> list[Claim]:
        """Return the claims of this user, and of others who use the GPU or did a while ago."""
        others = {each.uid for each in claims} - {os.geteuid()}
        now_s = time.monotonic()
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + min(_LOOK_S, self._patience_s)
            users = _users_of(uuid) if others else frozenset()
            kept = {key: since for key, since in self._unused_since_s.items() if key[0] != uuid}
            self._unused_since_s = kept | {
                (uuid, uid): self._unused_since_s.get((uuid, uid), now_s) for uid in others - users
            }
        ignored = self._without_patience(uuid)
        return [each for each in claims if each.uid not in ignored]

    def _without_patience(self, uuid: str) -> frozenset[int]:
        """Return the users whose claims on a GPU do not count any more."""
        now_s = time.monotonic()
        return frozenset(
            uid
            for (gpu, uid), since_s in self._unused_since_s.items()
            if gpu == uuid and now_s - since_s >= self._patience_s
        )


def claim(uuid: str, study: str, *, ignored: frozenset[int] = frozenset()) -> OwnClaim:
    """Claim a GPU.

    Args:
        uuid: of the GPU.
        study: for the messages of others.
        ignored: users whose claims do not count.

    Raises:
        StudyLocked: another study has a claim; the message says who.
    """
    with contextlib.ExitStack() as withdrawn:
        own = OwnClaim(uuid, study)
        withdrawn.callback(own.close)
        earlier = [
            each for each in claims_on(uuid) if each.order < own.order and each.uid not in ignored
        ]
        if not earlier:
            withdrawn.pop_all()
            return own
    raise StudyLocked(
        f"GPU {uuid} is in use by another study ({min(earlier).who}). Wait until it ends, e.g. with "
        "`--wait` (in Python `wait=True`). A study that waits starts after "
        f"{PATIENCE_S / 60:.0f} minutes without a process of that user on the GPU, if it is another "
        "user, whatever is locked"
    )


@contextlib.contextmanager
def hold_gpus(
    gpus: Sequence[str], queue: Queue | None = None, study: str = "", mounts: Path = MOUNTS
) -> Iterator[None]:
    """Hold the locks of some GPUs; none where no other job could see them.

    Args:
        gpus: their UUIDs.
        queue: to wait in while another study holds one of them; None raises an error instead.
        study: name of the study, which others see.
        mounts: the kernel's list of mounts; see `why_not_locked`.

    Raises:
        StudyLocked: another study holds one of them, and `queue` is None.
        KeyboardInterrupt: a stop was requested while waiting.
    """
    label = f"{study} in {Path.cwd()}".strip()
    with contextlib.ExitStack() as locks:
        for uuid in (
            sorted(gpus) if why_not_locked(mounts) is None else ()
        ):  # always in this order, or two waiting studies could deadlock
            own = claim(uuid, label) if queue is None else queue.hold(uuid, label)
            locks.callback(own.close)
        yield


def why_not_locked(mounts: Path = MOUNTS) -> str | None:
    """Return why GPUs are not locked on this machine, as one sentence; None if they are."""
    root = private_root(FOLDER, mounts)
    if root is None:
        return None
    return (
        f"GPUs are not locked, because {FOLDER} is private to this job (it is {root}), so that no "
        "other job could see a lock; only the cluster keeps other jobs off these GPUs"
    )


def _users_of(uuid: str) -> frozenset[int]:
    """Return the ids of the users that have a process on a GPU."""
    users = set()
    for pid in Gpus([uuid]).pids().get(uuid, ()):
        with contextlib.suppress(OSError):
            users.add(Path(f"/proc/{pid}").stat().st_uid)
    return frozenset(users)
