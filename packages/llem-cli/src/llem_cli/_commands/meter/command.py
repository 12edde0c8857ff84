"""`llem-cli meter`: the energy of any command, of a process that runs, or of some seconds."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem_cli._commands.meter.program import Ended, open_process, run_program, wait_for
from llem_cli._commands.meter.request import Flags, Request, check_gpus, checked
from llem_cli._commands.meter.series import run_in_turn
from llem_cli._commands.meter.session import MeterSession
from llem_cli._commands.meter.signals import SignalQueue, fetched_signals
from llem_cli._commands.meter.summary import compared, summary
from llem_cli._commands.options import WHOLE, Json, Tracebacks
from llem_cli._display.console import note, show_json
from llem_cli._display.meter import show_report, show_run
from llem_cli._display.meter_line import LiveLine
from llem_cli._display.meter_report import Compared, MeasuredRun, MeterReport

Command = Annotated[
    str,
    Parameter(
        show=False,
        help="The program to run and its arguments, after --.",
    ),
]
Pid = Annotated[int | None, WHOLE, Parameter(help="Measure until the process with this id ends.")]
For = Annotated[
    str | None,
    Parameter(
        name="--for", help="Measure for this time, such as 30s or 5m; with --pid at most this time."
    ),
]
Runs = Annotated[
    int | None, WHOLE, Parameter(help="Measure the command N times (default: 1; 5 with --compare).")
]
Warmup = Annotated[
    int, WHOLE, Parameter(help="Runs before them that are not measured (default: 0).")
]
Gap = Annotated[str, Parameter(help="Pause between two runs, such as 10s (default: 2s).")]
Compare = Annotated[
    str | None,
    Parameter(
        help="Another command, quoted as one word, that runs in turn with the first. There is no shell: "
        "write 'sh -c \"...\"' for one."
    ),
]
Tokens = Annotated[
    int | None, WHOLE, Parameter(help="Tokens that one run generates, for the energy per token.")
]
Gpus = Annotated[
    str | None,
    Parameter(help="GPUs to meter, by index or UUID, such as 0,1 (default: all that are visible)."),
]
Output = Annotated[Path | None, Parameter(help="Also write the result as JSON to this file.")]
Timeseries = Annotated[
    Path | None,
    Parameter(help="Write the power samples to this file, .parquet or .csv."),
]
Live = Annotated[
    bool | None,
    Parameter(
        negative="--no-live",
        help="Show the power while measuring, in a line on the terminal (default: only if the command "
        "does not print to the same terminal).",
    ),
]
DiscardOutput = Annotated[
    bool, Parameter(negative=(), help="Discard what the command prints to stdout.")
]


def meter(
    *command: Command,
    pid: Pid = None,
    for_: For = None,
    runs: Runs = None,
    warmup: Warmup = 0,
    gap: Gap = "2s",
    compare: Compare = None,
    tokens: Tokens = None,
    gpus: Gpus = None,
    output: Output = None,
    timeseries: Timeseries = None,
    live: Live = None,
    discard_output: DiscardOutput = False,
    json_: Json = False,
    verbose: Tracebacks = False,
) -> int:
    """Measure the energy of a command, of a process, or of some seconds."""
    del verbose  # read where errors are explained
    flags = Flags(pid, for_, runs, warmup, gap, compare, tokens, gpus, output, timeseries)
    request = checked(command, flags)
    with contextlib.ExitStack() as stack:
        # Before the libraries of the meter start threads, which inherit the blocked signals.
        signals = stack.enter_context(fetched_signals())
        process = None if request.pid is None else open_process(request.pid)
        is_light = process is not None  # a process that runs makes no quiet edge
        session = stack.enter_context(MeterSession(request.gpus, timeseries, is_light=is_light))
        prints = bool(request.commands) and not discard_output
        check_gpus(request.gpus, session.source)
        line = LiveLine(live, session.power_w, session.energy_so_far_j, beside_output=prints)
        measurement = _Measurement(request, signals, session, line, with_output=not discard_output)
        code, report = (
            measurement.commands(tokens) if request.commands else measurement.span(process, tokens)
        )
    problems = [*session.warnings(), *_written(output, report)]
    if json_:
        show_json(report.as_json())
    elif request.commands:
        with contextlib.suppress(OSError):  # a closed stderr must not cost the code of the command
            show_report(report, on_stderr=True)
    else:
        show_report(report, on_stderr=False)
    for warning in problems:
        note(f"warning: {warning}")
    return code


def _written(output: Path | None, report: MeterReport) -> list[str]:
    """Write the report; a file that cannot be written must not cost its figures."""
    if output is None:
        return []
    try:
        output.write_bytes(report.as_json() + b"\n")
    except OSError as error:
        return [f"{output} was not written: {error.strerror}"]
    return []


class _Measurement:
    """Runs what is requested in windows of the meter."""

    def __init__(
        self,
        request: Request,
        signals: SignalQueue,
        session: MeterSession,
        line: LiveLine,
        *,
        with_output: bool,
    ) -> None:
        self._request = request
        self._signals = signals
        self._session = session
        self._line = line
        self._with_output = with_output

    def commands(self, tokens: int | None) -> tuple[int, MeterReport]:
        """Run the commands; return the exit code of this program, and the report."""
        request = self._request
        if (stopped_by := self._signals.stop_requested()) is not None:
            # It arrived before anything was started, so nothing was measured.
            raise KeyboardInterrupt(
                f"interrupted by signal {stopped_by} before the command started"
            )
        series = run_in_turn(
            request.commands,
            n_runs=request.n_runs,
            n_warmup=request.n_warmup,
            gap_s=request.gap_s,
            signals=self._signals,
            execute=lambda command: self._session.measure(lambda: self._run(command)),
            warm_up=lambda command: _code_and_signal(self._run(command)),
            on_run=self._show_run,
        )
        measured = tuple(
            summary(command, shlex.join(command), tokens, runs)
            for command, runs in zip(request.commands, series.runs, strict=True)
        )
        comparison: Compared | None = compared(*measured) if len(measured) == 2 else None
        report = MeterReport(
            source=self._session.source,
            measured=measured,
            comparison=comparison,
            stopped_by=series.stopped_by if request.is_series else None,
        )
        if request.is_series:
            return series.exit_code, report
        return measured[0].runs[0].exit_code, report

    def span(self, process: int | None, tokens: int | None) -> tuple[int, MeterReport]:
        """Watch a process or wait; return the exit code of this program, and the report."""
        request = self._request
        run, _ = self._session.measure(
            lambda: wait_for(process, request.seconds, self._signals, self._line.draw)
        )
        self._line.clear()
        subject = f"{request.seconds:g} s" if process is None else f"process {request.pid}"
        measured = summary((), subject, tokens, [run])
        return run.exit_code, MeterReport(source=self._session.source, measured=(measured,))

    def _run(self, command: Sequence[str]) -> Ended:
        self._line.begin()
        ended = run_program(
            command,
            self._signals,
            self._line.draw,
            with_input=not self._request.is_series,
            with_output=self._with_output,
        )
        self._line.clear()
        return ended

    def _show_run(self, i: int, turn: int, run: MeasuredRun) -> None:
        if self._request.is_series:
            show_run(self._request.commands[i], turn + 1, self._request.n_runs, run)


def _code_and_signal(ended: Ended) -> tuple[int, int | None]:
    return ended.code, ended.stopped_by
