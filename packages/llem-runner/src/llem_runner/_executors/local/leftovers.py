"""Nothing of a run may be there when the next one is measured: no process, no memory of a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from multiprocessing.connection import wait

from llem_runner._control import Control
from llem_runner._errors import StudyError
from llem_runner._events import Event, RunLeftBehind
from llem_runner._executors.local.process_tree import is_alive
from llem_runner._gpus.state import Gpus

OWN_AT_MOST_S, OTHERS_AT_MOST_S = 60.0, 10.0
_UNSAID_S = 1.0  # a driver may take a moment to free what a killed process held
_LOOK_EVERY_S = 0.25


def wait_until_clear(
    index: int,
    *,
    own: Collection[int],
    undead: Collection[int],
    before: Mapping[str, Collection[int]],
    gpus: Gpus,
    control: Control,
    on_event: Callable[[Event], None],
    own_at_most_s: float = OWN_AT_MOST_S,
    others_at_most_s: float = OTHERS_AT_MOST_S,
) -> None:
    """Return once nothing of a run is left, or the study is asked to stop.

    A process that came to a GPU during the run may be the run's own under another number, as from
    inside a container, or somebody else's: it is waited for, less long, and the study goes on
    beside it, since what it does there is also in the figures of the run's result.

    Args:
        index: of the run.
        own: processes of the run, whose number may still stand at a GPU.
        undead: those of them that could not be ended.
        before: who was on each GPU when the run began.
        gpus: where to look.
        control: to stop.
        on_event: told if something is left for more than a moment.
        own_at_most_s: how long to wait for what is the run's own.
        others_at_most_s: how long to wait for what may be somebody else's.

    Raises:
        StudyError: something of the run's own stays. The next run would be measured beside it.
    """
    start_s = time.perf_counter()
    told = False
    while True:
        left = frozenset(pid for pid in undead if is_alive(pid))
        on_gpu = {uuid: now - frozenset(before.get(uuid, ())) for uuid, now in gpus.pids().items()}
        strangers = frozenset().union(*on_gpu.values()) - frozenset(own)
        ours = left | (frozenset().union(*on_gpu.values()) & frozenset(own))
        waited_s = time.perf_counter() - start_s
        if not ours and (not strangers or waited_s >= others_at_most_s):
            return
        if not told and waited_s >= min(_UNSAID_S, own_at_most_s, others_at_most_s):
            told = True
            on_event(RunLeftBehind(index, tuple(sorted(ours)), tuple(sorted(strangers))))
        if ours and waited_s >= own_at_most_s:
            where = [uuid for uuid, pids in on_gpu.items() if pids & ours]
            held = f" and holds memory of {', '.join(where)}" if where else ""
            raise StudyError(
                f"what run {index} has started cannot be ended: process "
                f"{', '.join(map(str, sorted(ours)))} is still there after {waited_s:.0f} s{held}. "
                "The next run would be measured beside it; end it, or restart the machine, and "
                "resume the study"
            )
        wait([control.fileno()], timeout=_LOOK_EVERY_S)
        if control.stop_requested:
            return
