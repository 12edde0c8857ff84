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

from llem_cli._display import count, duration
from llem_runner import (
    Cautioned,
    Event,
    GapEnded,
    GapStarted,
    RunFailed,
    RunFinished,
    RunStage,
    RunStarted,
    StudyEnded,
    StudyStarted,
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
        self._run_s: list[float] = []
        self._gap_s = 0.0
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
            case StudyStarted():
                self._started(event)
            case GapStarted(kind, seconds, until):
                self._gap(kind, seconds, until)
            case GapEnded(skipped):
                self._gap_ended(skipped)
            case RunStarted(index, cycle, label):
                self._now = f"run {index} (cycle {cycle})", label
                self._line(": ".join(self._now), live="start")
            case RunStage(index, stage):
                self._stage(index, stage)
            case RunFinished():
                self._done(event.index, event.seconds, _figures(event))
            case RunFailed():
                sentence = f"failed: {event.error_type}: {event.message} (log: {event.log})"
                self._done(event.index, event.seconds, sentence)
            case StudyEnded():
                self._ended(event)

    def _started(self, event: StudyStarted) -> None:
        self.folder = event.folder
        self._n_runs, self._gap_s = event.n_runs, event.gap_s
        kept = event.n_planned - event.n_runs
        done = f", {kept} done before" if kept else ""
        self._line(f"{count(event.n_runs, 'run')}{done}; results go to {event.folder}")

    def _gap_ended(self, skipped: bool) -> None:
        self._stop_countdown()
        if skipped:
            self._line("pause skipped")

    def _stage(self, index: int, stage: str) -> None:
        if self._verbose:
            self._line(f"run {index}: {stage}")
        run, label = self._now
        self._redraw(f"{run}, {stage}: {label}")

    def _ended(self, event: StudyEnded) -> None:
        if event.status == "interrupted":
            self._line(f"stopped; `llem-cli study resume {event.folder}` goes on")
        elif event.status == "aborted":
            self._line("stopped: too many runs failed in a row")

    def _done(self, index: int, seconds: float, figures: str) -> None:
        self._n_done += 1
        self._run_s.append(seconds)
        left = self._n_runs - self._n_done
        ahead = f"; {left} left, about {duration(self._left_s())}" if left else ""
        self._line(f"run {index}: {figures}, {duration(seconds)}{ahead}")
        self._redraw("")

    def _left_s(self) -> float:
        mean_s = sum(self._run_s) / len(self._run_s)
        share = (self._n_runs - self._n_done) / max(1, self._n_runs - 1)
        return mean_s * (self._n_runs - self._n_done) + self._gap_s * share

    def _gap(self, kind: str, seconds: float, until: float | None) -> None:
        cool = f" and until {until:g} C" if until is not None else ""
        what = "between cycles" if kind == "cycle" else "between runs"
        if self._live is None:
            self._line(f"pause of {duration(seconds)}{cool} {what}")
            return
        self._ticker = _Countdown(
            seconds,
            lambda left: self._redraw(
                f"pause {what}: {left} s left{cool}; Enter skips it, Ctrl-C stops"
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

    def __init__(self, seconds: float, show: Callable[[int], None]) -> None:
        super().__init__(name="llem-countdown", daemon=True)
        self._deadline_s = time.monotonic() + seconds
        self._show = show
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            left_s = max(0.0, self._deadline_s - time.monotonic())
            self._show(round(left_s))
            self._over.wait(1.0)

    def stop(self) -> None:
        self._over.set()
        self.join()


def _figures(event: RunFinished) -> str:
    energy = event.energy_per_output_token_j
    joules = "energy missing" if energy is None else f"{energy:.4g} J/token"
    return f"{event.tokens_per_second:.4g} tokens/s, {joules}"
