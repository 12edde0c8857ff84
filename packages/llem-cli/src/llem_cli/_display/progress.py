"""Progress of a study on stderr: a live line on a terminal, plain lines anywhere else.

While a window is open nothing is redrawn: the display would be part of what is measured. Only a
gap has a thread, for its countdown.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from llem_cli._display.console import count, duration
from llem_runner import (
    Cautioned,
    Event,
    GapEnded,
    GapReading,
    GapStarted,
    RunFailed,
    RunFinished,
    RunLeftBehind,
    RunStage,
    RunStarted,
    StudyEnded,
    StudyStarted,
    WaitingForGpu,
)

_BAR = 24


class Progress:
    """A context and an event callback."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._console = Console(file=sys.stderr, highlight=False)
        self._live = (
            Live(console=self._console, auto_refresh=False, transient=True)
            if not quiet and self._console.is_terminal
            else None
        )
        self._ticker: _Countdown | None = None
        self._n_runs = self._n_done = 0
        self._now = "", ""
        self.folder = Path()
        """Where the study writes; known once it has started."""

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError, SystemExit):
            self._stop_countdown()
            if self._live is not None:
                self._live.stop()

    def __call__(self, event: Event) -> None:
        """Show one event; a display that is gone, e.g. a closed pipe, does not end the study."""
        try:
            self._show(event)
        except (OSError, SystemExit):  # rich leaves the program when its pipe breaks
            self._stop_countdown()
            self._quiet, self._live = True, None

    def _show(self, event: Event) -> None:
        match event:
            case Cautioned(warning):
                self._line(f"warning: {warning}")
            case WaitingForGpu(uuid):
                self._line(f"waiting for GPU {uuid}, which another study uses; Ctrl-C stops")
            case StudyStarted():
                self._started(event)
            case GapStarted() | GapReading() | GapEnded():
                self._show_gap(event)
            case RunLeftBehind():
                self._left_behind(event)
            case RunStarted() | RunStage() | RunFinished() | RunFailed():
                self._show_run(event)
            case StudyEnded():
                self._ended(event)

    def _show_gap(self, event: GapStarted | GapReading | GapEnded) -> None:
        match event:
            case GapStarted(kind, seconds, until):
                self._gap(kind, seconds, until)
            case GapReading():
                if self._ticker is not None:  # drawn with the next second
                    self._ticker.note = _gpus(event)
            case GapEnded():
                self._gap_ended(event)

    def _show_run(self, event: RunStarted | RunStage | RunFinished | RunFailed) -> None:
        match event:
            case RunStarted():
                self._begun(event)
            case RunStage(index, stage):
                self._stage(index, stage)
            case RunFinished():
                self._done(event, _figures(event))
            case RunFailed():
                again = "; it is tried again" if event.tried_again else ""
                sentence = f"failed: {event.error_type}: {event.message} (log: {event.log}){again}"
                self._done(event, sentence)

    def _started(self, event: StudyStarted) -> None:
        self.folder = event.folder
        self._n_runs = event.n_runs
        kept = event.n_planned - event.n_runs
        done = f", {kept} done before" if kept else ""
        about = "" if event.left_s is None else f", about {duration(event.left_s)}"
        self._line(f"{count(event.n_runs, 'run')}{done}{about}; results go to {event.folder}")

    def _begun(self, event: RunStarted) -> None:
        self._now = f"run {event.index} (cycle {event.cycle})", event.label
        warm = ", ".join(f"{degrees:.0f} C" for degrees in event.gpu_temperatures_c.values())
        self._line(": ".join(self._now) + (f" (GPU at {warm})" if warm else ""), live="start")

    def _left_behind(self, event: RunLeftBehind) -> None:
        whose = f"process {_numbers(event.own)} of it" if event.own else ""
        others = f"process {_numbers(event.others)}, new on a GPU" if event.others else ""
        who = " and ".join(part for part in (whose, others) if part)
        self._line(f"run {event.index} is over, but {who} is still there; waiting")

    def _gap_ended(self, event: GapEnded) -> None:
        self._stop_countdown()
        if event.skipped:
            self._line("pause skipped")
        elif event.cool is False:
            self._line("pause over; a GPU is still warmer than was asked for")

    def _stage(self, index: int, stage: str) -> None:
        if self._verbose:
            self._line(f"run {index}: {stage}")
        run, label = self._now
        self._redraw(f"{run}, {stage}: {label}")

    def _ended(self, event: StudyEnded) -> None:
        if event.status == "interrupted":
            why = f": {event.reason}" if event.reason else ""
            self._line(f"stopped{why}; `llem-cli study resume {event.folder}` goes on")
        elif event.status == "aborted":
            self._line(f"stopped: {event.reason or 'an error'}")

    def _done(self, event: RunFinished | RunFailed, figures: str) -> None:
        self._n_done = self._n_runs - event.n_left
        about = "" if event.left_s is None else f", about {duration(event.left_s)}"
        ahead = f"; {event.n_left} left{about}" if event.n_left else ""
        self._line(f"run {event.index}: {figures}, {duration(event.seconds)}{ahead}")
        self._redraw("")

    def _gap(self, kind: str, seconds: float, until: str | None) -> None:
        cool = f" and until {until}" if until is not None else ""
        what = "between cycles" if kind == "cycle" else "between runs"
        if self._live is None:
            self._line(f"pause of {duration(seconds)}{cool} {what}")
            return
        self._ticker = _Countdown(
            seconds,
            lambda left, note: self._redraw(
                f"pause {what}: {left} s left{cool}{note}; Enter skips it, Ctrl-C stops"
            ),
        )
        self._ticker.start()

    def _stop_countdown(self) -> None:
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None

    def _line(self, text: str, *, live: str = "") -> None:
        if self._quiet:
            return
        if self._live is None:
            self._console.print(Text(text), soft_wrap=True)
        elif live == "start":
            self._redraw(text)
        else:
            self._live.console.print(Text(text), soft_wrap=True)

    def _redraw(self, text: str) -> None:
        if self._live is None:
            return
        filled = _BAR * self._n_done // max(1, self._n_runs)
        bar = "█" * filled + "░" * (_BAR - filled)
        line = f"{bar} {self._n_done}/{self._n_runs}  {text}"
        self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)


class _Countdown(threading.Thread):
    """Calls back once a second with the whole seconds left."""

    def __init__(self, seconds: float, show: Callable[[int, str], None]) -> None:
        super().__init__(name="llem-countdown", daemon=True)
        self._deadline_s = time.monotonic() + seconds
        self._show = show
        self._over = threading.Event()
        self.note = ""
        """Shown beside the seconds."""

    def run(self) -> None:
        while not self._over.is_set():
            left_s = max(0.0, self._deadline_s - time.monotonic())
            self._show(round(left_s), self.note)
            self._over.wait(1.0)

    def stop(self) -> None:
        self._over.set()
        self.join()


def _figures(event: RunFinished) -> str:
    energy = event.energy_per_output_token_j
    joules = "energy missing" if energy is None else f"{energy:.4g} J/token"
    return f"{event.tokens_per_second:.4g} tokens/s, {joules}"


def _gpus(reading: GapReading) -> str:
    words = []
    for uuid in dict.fromkeys((*reading.temperature_c, *reading.power_w)):
        degrees, watts = reading.temperature_c.get(uuid), reading.power_w.get(uuid)
        known = [f"{degrees:.0f} C" if degrees is not None else ""]
        known += [f"{watts:.0f} W" if watts is not None else ""]
        words.append(" ".join(word for word in known if word))
    return f"; GPU {', '.join(words)}" if words else ""


def _numbers(pids: tuple[int, ...]) -> str:
    return ", ".join(map(str, pids))
