"""The pause before a run, so that the GPU returns to its starting state."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

import msgspec

from llem_config import Settings
from llem_runner._control import LONGEST_WAIT_S, Control
from llem_runner._events import Event, GapEnded, GapReading, GapStarted
from llem_runner._gpus.state import Gpus, temperatures_of
from llem_runner._plan.schedule import GapKind

_COOLING_LOOK_S, _LOOK_S = 1.0, 5.0


class Cooling(msgspec.Struct, frozen=True, kw_only=True):
    """How cool GPUs have to be before a gap is over."""

    until_c: float | None = None
    within_c: float | None = None
    """Above what each had before the study's first run."""
    first_c: dict[str, float] = {}
    """By UUID; a GPU that is not in here has no limit of its own."""
    at_most_s: float = math.inf
    """After which the gap ends all the same, counted from the end of its own seconds."""

    @classmethod
    def of(cls, settings: Settings, first_c: dict[str, float] | None) -> Cooling:
        """Return what this machine's settings ask for."""
        own = settings.execution
        return cls(
            until_c=own.gap_until_temperature_c,
            within_c=own.gap_within_c,
            first_c=first_c or {},
            at_most_s=own.gap_at_most_seconds,
        )

    @property
    def asked(self) -> bool:
        """Tell whether a gap has to look at temperatures at all."""
        return self.until_c is not None or (self.within_c is not None and bool(self.first_c))

    def limit_c(self, uuid: str) -> float:
        """Return how warm one GPU may be."""
        limits = [math.inf if self.until_c is None else self.until_c]
        if self.within_c is not None and uuid in self.first_c:
            limits.append(self.first_c[uuid] + self.within_c)
        return min(limits)

    def is_cool(self, temperatures_c: dict[str, float]) -> bool:
        """Tell whether every GPU is cool enough."""
        return all(degrees <= self.limit_c(uuid) for uuid, degrees in temperatures_c.items())

    @property
    def sentence(self) -> str | None:
        """Return what is waited for, in words; None if nothing is."""
        words = []
        if self.until_c is not None:
            words.append(f"every GPU is at {self.until_c:g} C")
        if self.within_c is not None and self.first_c:
            words.append(f"every GPU is within {self.within_c:g} C of the first run")
        return " and ".join(words) or None


class Gap:
    """One pause."""

    def __init__(
        self,
        kind: GapKind,
        end_s: float,
        *,
        cooling: Cooling,
        gpus: Gpus,
        control: Control,
        on_event: Callable[[Event], None],
    ) -> None:
        """Plan a pause.

        Args:
            kind: which one.
            end_s: when its seconds are over (`time.perf_counter`). They count from the end of the
                measurement before it: writing results and starting the next worker happen inside
                the gap, not on top of it.
            cooling: what has to be so before it is over.
            gpus: whose temperatures count, and are shown.
            control: skips it or asks to stop.
            on_event: told when it begins and ends, and the temperatures.
        """
        self._kind = kind
        self._end_s = end_s
        self._cooling = cooling
        self._gpus = gpus
        self._control = control
        self._on_event = on_event

    def wait(self) -> None:
        """Wait until it is over, skipped, or the study is asked to stop."""
        left_s = self._end_s - time.perf_counter()
        cooling = self._cooling
        if left_s <= 0 and not cooling.asked:
            return
        self._control.forget_lines()
        self._on_event(GapStarted(self._kind, max(0.0, left_s), cooling.sentence))
        skipped = self._pass(left_s)
        cool = None
        if cooling.asked and not skipped:
            skipped, cool = self._cool_down()
        self._on_event(GapEnded(skipped, cool))

    def _pass(self, left_s: float) -> bool:
        """Let the seconds pass; return early, and true, if they are skipped."""
        if not self._gpus.uuids:
            return _sleep(left_s, self._control)
        while not self._control.stop_requested:
            left_s = self._end_s - time.perf_counter()
            if left_s <= 0:
                return False
            # None in the last moment: looking is work, and the run after it is about to begin.
            if left_s > _COOLING_LOOK_S:
                self._look()
            if _sleep(min(_LOOK_S, self._end_s - time.perf_counter()), self._control):
                return True
        return False

    def _cool_down(self) -> tuple[bool, bool]:
        """Wait for the GPUs; return whether that was skipped, and whether they are cool."""
        deadline_s = time.perf_counter() + self._cooling.at_most_s
        while not (cool := self._cooling.is_cool(self._look())):
            if self._control.stop_requested or time.perf_counter() >= deadline_s:
                break
            if _sleep(_COOLING_LOOK_S, self._control):
                return True, False
        return False, cool

    def _look(self) -> dict[str, float]:
        states = self._gpus.states()
        temperatures_c = temperatures_of(states)
        power_w = {u: s.power_w for u, s in states.items() if s.power_w is not None}
        self._on_event(GapReading(temperatures_c, power_w))
        return temperatures_c


def _sleep(seconds: float, control: Control) -> bool:
    """Sleep; return early, and true, if a line on the terminal skips the gap."""
    deadline_s = time.perf_counter() + seconds
    watched: list[Any] = [control.fileno()]
    if control.skip_fd is not None:
        watched.append(control.skip_fd)
    while (left_s := deadline_s - time.perf_counter()) > 0:
        ready = wait(watched, timeout=min(left_s, LONGEST_WAIT_S))
        if control.fileno() in ready or control.stop_requested:
            return False
        if control.skip_fd in ready:
            if control.read_line():
                return True
            watched.remove(control.skip_fd)  # end of file: nobody there to skip anything
    return False
