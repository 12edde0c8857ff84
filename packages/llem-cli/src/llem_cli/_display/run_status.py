"""What a run does now, in two lines of a terminal: its point and stage first, then the run."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from llem_cli._display.console import duration
from llem_runner.events import RunStage, RunStarted

_TICKING = ("import", "open", "load", "tokenise", "warm-up", "quality", "result")
"""Stages in which nothing is measured, so that the seconds may be drawn. In all others, and in those
of executors of other people, the display must not use the processor."""
_WORDS = {
    "import": "imports",
    "open": "opening the device",
    "window": "measured window",
    "prefill": "measured window of prefill",
    "decode": "measured window of decode",
    "baseline": "idle power",
    "loaded idle": "idle power with the model",
    "idle after": "idle power after the window",
    "quality": "quality of the answers",
}

_SECTION = re.compile(r"(?<!\S)[a-z_]+\.(?=[a-z_.]+=)")


class RunStatus:
    """The run in progress, its stage, and how long both last."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; `clock` and `time_of_day` return seconds, the latter as Unix time."""
        self._clock = clock
        self._time_of_day = time_of_day
        self._run = RunStarted(index=0, cycle=0, label="")
        self._stage = RunStage(index=0, stage="")
        self._n_planned = 0
        self._run_start_s = self._stage_start_s = 0.0
        self._begun_at = ""
        self._past: list[str] = []

    @property
    def is_ticking(self) -> bool:
        """Return whether the seconds may be drawn."""
        return not self._stage.stage or self._stage.stage in _TICKING

    def start(self, event: RunStarted, n_planned: int) -> None:
        """Begin a run of `n_planned` in the study; until its first stage, its process is prepared."""
        self._run, self._n_planned = event, n_planned
        self._run_start_s = self._clock()
        self._past = []
        self._set(RunStage(event.index, ""))

    def begin(self, event: RunStage) -> None:
        """Begin a stage of the run."""
        seconds = self._clock() - self._stage_start_s
        if self._stage.stage and seconds >= 1:
            self._past.append(f"{words(self._stage.stage)} {duration(seconds)}")
        self._set(event)

    def lines(self) -> list[str]:
        """Return what the run does now; without running seconds if they may not be drawn."""
        return [f"{short(self._run.label)}: {self._stage_line()}", self._run_line()]

    def history(self) -> str:
        """Return the stages of the run so far and how long they took; empty if all were short."""
        return ", ".join(self._past)

    def _set(self, stage: RunStage) -> None:
        self._stage = stage
        self._stage_start_s = self._clock()
        self._begun_at = time.strftime("%H:%M:%S", time.localtime(self._time_of_day()))

    def _stage_line(self) -> str:
        name, expected_s = self._stage.stage, self._stage.expected_s
        about = "" if expected_s is None or expected_s < 1 else f"about {duration(expected_s)}"
        if not self.is_ticking:
            return (
                f"{words(name)}, {about or 'short'}, since {self._begun_at}; "
                "nothing is drawn until it ends"
            )
        elapsed = duration(self._clock() - self._stage_start_s)
        stage = words(name) if name else "starting"
        return f"{stage}, {elapsed}" + (f" of {about}" if about else "")

    def _run_line(self) -> str:
        run = self._run
        of = f" of {self._n_planned}" if self._n_planned else ""
        parts = [f"run {run.index}{of}", f"cycle {run.cycle}"]
        if self.is_ticking:
            about = "" if run.expected_s is None else f" of about {duration(run.expected_s)}"
            parts.append(f"{duration(self._clock() - self._run_start_s)}{about}")
        if run.gpu_temperatures_c:
            at = ", ".join(f"{celsius:.0f} C" for celsius in run.gpu_temperatures_c.values())
            parts.append(f"GPU at {at} before it")
        return ", ".join(parts)


def words(stage: str) -> str:
    """Return a stage in words."""
    return _WORDS.get(stage, stage)


def short(label: str) -> str:
    """Return the label of a point without the sections of its fields, as in tables of results."""
    return _SECTION.sub("", label)
