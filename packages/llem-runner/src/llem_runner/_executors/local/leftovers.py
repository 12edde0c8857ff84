"""Waits until nothing of a run is left before the next one: no process, no GPU memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from multiprocessing.connection import wait

from llem_runner._control import Control
from llem_runner._errors import StudyError
from llem_runner._events import Event, LeftoverProcesses
from llem_runner._executors.local.process_tree import is_alive
from llem_runner._executors.protocol import Leftovers
from llem_runner._gpus.state import Gpus

OWN_TIMEOUT_S, OTHERS_TIMEOUT_S = 60.0, 10.0
_SILENT_S = 1.0  # a driver may take a moment to free what a killed process held
_CHECK_INTERVAL_S = 0.25


def wait_for_cleanup(
    index: int,
    leftovers: Leftovers,
    *,
    before: Mapping[str, Collection[int]],
    gpus: Gpus,
    control: Control,
    on_event: Callable[[Event], None],
    own_timeout_s: float = OWN_TIMEOUT_S,
    others_timeout_s: float = OTHERS_TIMEOUT_S,
) -> None:
    """Return once nothing of a run is left, or a stop is requested.

    A process that appeared on a GPU during the run may be the run's own under another number, as
    from inside a container, or another user's. It is waited for, but not as long. Then the study
    continues beside it: what it does there also shows in the result of the run.

    Args:
        index: of the run.
        leftovers: of the run; without processes of its own there is nothing to wait for.
        before: the processes on each GPU when the run began, by UUID.
        gpus: the GPUs to check.
        control: for a request to stop.
        on_event: called if something is left for more than a moment.
        own_timeout_s: how long to wait for processes of the run.
        others_timeout_s: how long to wait for processes that may be another user's.

    Raises:
        StudyError: a process of the run stays, and would disturb the next measurement.
    """
    if not leftovers.pids:
        return
    start_s = time.perf_counter()
    announced = False
    while True:
        alive = frozenset(pid for pid in leftovers.alive_pids if is_alive(pid))
        new_pids = {
            uuid: pids - frozenset(before.get(uuid, ())) for uuid, pids in gpus.pids().items()
        }
        on_gpus = frozenset().union(*new_pids.values())
        other_pids = on_gpus - frozenset(leftovers.pids)
        own_pids = alive | (on_gpus & frozenset(leftovers.pids))
        waited_s = time.perf_counter() - start_s
        if not own_pids and (not other_pids or waited_s >= others_timeout_s):
            return
        if not announced and waited_s >= min(_SILENT_S, own_timeout_s, others_timeout_s):
            announced = True
            on_event(LeftoverProcesses(index, tuple(sorted(own_pids)), tuple(sorted(other_pids))))
        if own_pids and waited_s >= own_timeout_s:
            uuids = [uuid for uuid, pids in new_pids.items() if pids & own_pids]
            raise StudyError(_still_alive(index, sorted(own_pids), waited_s, uuids))
        wait([control.fileno()], timeout=_CHECK_INTERVAL_S)
        if control.stop_requested:
            return


def _still_alive(index: int, pids: list[int], waited_s: float, uuids: list[str]) -> str:
    noun, verb, pronoun = (
        ("process", "is", "it") if len(pids) == 1 else ("processes", "are", "them")
    )
    on_gpus = f" on GPU {', '.join(uuids)}" if uuids else ""
    return (
        f"{noun} {', '.join(map(str, pids))}, started by run {index}, {verb} still alive{on_gpus} "
        f"after {waited_s:.0f} s and would disturb the next measurement. Kill {pronoun} or reboot, "
        "then resume the study"
    )
