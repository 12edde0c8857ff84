"""The progress of a study on stderr: a status bar in a terminal, plain lines anywhere else."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import assert_never

from llem_cli._display.console import (
    count,
    duration,
    message_lines,
    print_line,
    resume_command,
    stderr_console,
)
from llem_cli._display.run_status import RunStatus, short, words
from llem_cli._display.status_bar import StatusBar
from llem_cli._display.time_left import TimeLeft, unknown_times
from llem_energy.models import gigabytes
from llem_runner.events import (
    Event,
    GapEnded,
    GapStarted,
    GapTelemetry,
    InputChanged,
    LeftoverProcesses,
    Note,
    PreflightWarning,
    ReadingInputs,
    RunFailed,
    RunFinished,
    RunStage,
    RunStarted,
    StudyEnded,
    StudyStarted,
    WaitingForGpu,
)


class Progress:
    """A context manager, and a callback that shows each event of a study."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._console = stderr_console()
        dumb = not sys.stderr.isatty() or self._console.is_dumb_terminal
        self._live = not quiet and not dumb
        self._tells_stages = sys.stderr.isatty() and dumb
        self._bar = StatusBar(self._console, disable=not self._live)
        self._run = RunStatus()
        self._label = ""
        self._time_left = TimeLeft()
        self._gpus = ""
        """Temperature and power of the GPUs during a gap."""
        self._reading_shown = False
        self._n_runs = self._n_planned = 0
        self.folder = Path()
        """Where the study writes; known once it has started."""

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show one event; a display that fails, e.g. a closed pipe, does not end the study."""
        try:
            self._show(event)
        except OSError:
            self.__exit__()
            self._quiet = True

    def _show(self, event: Event) -> None:
        match event:
            case PreflightWarning(warning):
                self._line(f"warning: {warning}", "yellow")
            case Note(text):
                self._line(f"note: {text}")
            case InputChanged(change=change):
                self._line(f"warning: {change}", "yellow")
            case ReadingInputs():
                self._show_reading(event)
            case WaitingForGpu(uuid, holder):
                who = f" ({holder})" if holder else ""
                self._line(f"waiting for GPU {uuid}, which another study uses{who}; Ctrl-C stops")
            case StudyStarted() | StudyEnded():
                self._show_study(event)
            case GapStarted() | GapTelemetry() | GapEnded():
                self._show_gap(event)
            case RunStarted() | RunStage() | RunFinished() | RunFailed() | LeftoverProcesses():
                self._show_run(event)
            case _:
                assert_never(event)

    def _show_reading(self, event: ReadingInputs) -> None:
        if not self._reading_shown:
            self._reading_shown = True
            self._line(
                f"reading {gigabytes(event.n_bytes)} of model files once, to record what is measured"
            )
        share = event.n_read_bytes / event.n_bytes
        self._bar.show_status(
            f"reading model files: {share:.0%} of {gigabytes(event.n_bytes)}; Ctrl-C stops"
        )

    def _show_study(self, event: StudyStarted | StudyEnded) -> None:
        if isinstance(event, StudyStarted):
            self.folder, self._n_runs, self._n_planned = event.folder, event.n_runs, event.n_planned
            n_completed = event.n_planned - event.n_runs
            completed = f" left, {n_completed} already completed" if n_completed else ""
            runs = f"{count(event.n_runs, 'run')}{completed}{_about(event.left_s)}"
            if event.n_runs == 0:
                runs = f"nothing to run: {count(n_completed, 'run')} completed already"
            self._line(f"{runs}; results in {event.folder}")
            self._time_left.estimate(event.left_s, event.least_s, unknown_times(event.unknown))
            self._bar.show_count(0, event.n_runs, self._time_left)
        elif event.status in ("interrupted", "aborted"):
            reason = f": {event.reason}" if event.reason else ""
            self._line(f"stopped{reason}; continue with {resume_command(event.folder)}", "yellow")

    def _show_run(
        self, event: RunStarted | RunStage | RunFinished | RunFailed | LeftoverProcesses
    ) -> None:
        match event:
            case RunStarted():
                self._label = event.label
                self._run.start(event, self._n_planned)
                self._bar.show_live_status(self._run.lines)
                if not self._live:
                    self._line(_run_started(event))
            case RunStage():
                self._show_stage(event)
            case RunFinished():
                self._show_run_end(event, f": {_figures(event)}, {duration(event.seconds)}")
            case RunFailed():
                retrying = ", retrying" if event.tried_again else ""
                self._show_run_end(event, f" failed after {duration(event.seconds)}{retrying}")
                for line in message_lines(f"{event.error_type}: {event.message}"):
                    self._line(f"  {line}", "red")
                self._line(f"  log: {event.log}")
            case LeftoverProcesses():
                self._line(_leftovers(event))

    def _show_stage(self, event: RunStage) -> None:
        """Show a stage before it begins: with running seconds, unless it is measured."""
        self._run.begin(event)
        if self._verbose:
            self._line(f"run {event.index}: {event.stage}")
        elif event.stage == "window" and self._tells_stages:
            before = self._run.history()
            seconds = "" if event.expected_s is None else f", about {duration(event.expected_s)}"
            self._line(f"run {event.index}: {before and before + '; '}{words('window')}{seconds}")
        if self._run.is_ticking:
            self._bar.show_live_status(self._run.lines)
        else:
            self._bar.show_status(*self._run.lines())

    def _show_run_end(self, event: RunFinished | RunFailed, result: str) -> None:
        about = _about(event.left_s)
        if self._live:  # the bar shows what is left, but the label disappears with the status
            self._line(f"{short(self._label)}{result} (run {event.index})")
        else:
            ahead = f"; {event.n_left} left{about}" if event.n_left else ""
            self._line(f"run {event.index}{result}{ahead}")
        self._bar.show_status()
        self._time_left.estimate(event.left_s if event.n_left else None)
        self._bar.show_count(self._n_runs - event.n_left, self._n_runs, self._time_left)

    def _show_gap(self, event: GapStarted | GapTelemetry | GapEnded) -> None:
        match event:
            case GapStarted(kind, seconds, until):
                self._gpus = ""
                gap = "gap between cycles" if kind == "cycle" else "gap between runs"
                cooling = f", then until {until}" if until is not None else ""
                if not self._live:
                    self._line(f"{gap}: {duration(seconds)}{cooling}")
                end_s = time.monotonic() + seconds
                self._bar.show_live_status(
                    lambda: (
                        f"{gap}: {duration(max(0.0, end_s - time.monotonic()))} left"
                        f"{cooling}{self._gpus}",
                        "Enter skips it, Ctrl-C stops the study",
                    )
                )
            case GapTelemetry():
                self._gpus = _gpus(event)  # drawn with the next second
            case GapEnded(skipped, cool):
                self._bar.show_status()
                if skipped:
                    self._line("gap skipped")
                elif cool is False:
                    self._line("gap over, but a GPU is still warmer than requested")

    def _line(self, text: str, style: str = "") -> None:
        if not self._quiet:
            print_line(self._console, text, style)


def _run_started(event: RunStarted) -> str:
    """Return the line of a run that starts."""
    at = ", ".join(f"{celsius:.0f} C" for celsius in event.gpu_temperatures_c.values())
    return f"run {event.index} (cycle {event.cycle}): {event.label}" + (
        f" (GPU at {at})" if at else ""
    )


def _about(left_s: float | None, left: str = "") -> str:
    return "" if left_s is None else f", about {duration(left_s)}{left}"


def _figures(event: RunFinished) -> str:
    energy_j = event.energy_per_output_token_j
    energy = "energy missing" if energy_j is None else f"{energy_j:.4g} J/token"
    return f"{event.tokens_per_second:.4g} tokens/s, {energy}"


def _gpus(reading: GapTelemetry) -> str:
    gpus = []
    for uuid in dict.fromkeys((*reading.temperature_c, *reading.power_w)):
        celsius, watts = reading.temperature_c.get(uuid), reading.power_w.get(uuid)
        figures = [] if celsius is None else [f"{celsius:.0f} C"]
        figures += [] if watts is None else [f"{watts:.0f} W"]
        gpus.append(" ".join(figures))
    return f"; GPU {', '.join(gpus)}" if gpus else ""


def _leftovers(event: LeftoverProcesses) -> str:
    processes = [f"its process {pid}" for pid in event.own_pids]
    processes += [f"process {pid} (another program, new on a GPU)" for pid in event.other_pids]
    are, them = ("is", "it") if len(processes) == 1 else ("are", "them")
    return (
        f"run {event.index} finished, but {' and '.join(processes)} {are} still alive; "
        f"waiting for {them} to exit"
    )
