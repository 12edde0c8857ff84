"""What `llem-cli meter` measured, on the terminal."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence

from llem_cli._display.console import (
    add_row,
    count,
    first_lines,
    note,
    plain_table,
    print_line,
    print_table,
    stderr_table_console,
    stdout_console,
)
from llem_cli._display.meter_report import (
    Compared,
    Mean,
    Measured,
    MeasuredRun,
    MeterReport,
    Ratio,
)
from llem_cli._display.numbers import plain
from llem_cli._display.similar_warnings import warning_lines
from llem_config.text import shortened

_MAX_COMMAND = 60


def show_report(report: MeterReport, *, on_stderr: bool) -> None:
    """Show the figures of every command, and how two compare.

    Args:
        report: to show.
        on_stderr: whether stdout belongs to the measured command.
    """
    console = stderr_table_console() if on_stderr else stdout_console()
    for measured in report.measured:
        if len(report.measured) > 1:
            print_line(console, _name(measured))
        table = plain_table(show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for row in _rows(measured):
            add_row(table, row)
        print_table(table, console)
    if report.comparison is not None:
        for line in _comparison(report.comparison, *map(_name, report.measured)):
            print_line(console, line)
    if report.stopped_by is not None:
        print_line(console, f"stopped early: {report.stopped_by}")
    for line in _reasons(report):
        note(line)


def show_run(command: Sequence[str], run: int, n_runs: int, measured: MeasuredRun) -> None:
    """Show one run of several on stderr, as soon as it has ended."""
    energy = _with_bound(measured.energy_j, measured.bound_j)
    name = shortened(shlex.join(command), _MAX_COMMAND)
    note(f"run {run} of {n_runs}: {energy}, {measured.duration_s:.3f} s: {name}")


def _reasons(report: MeterReport) -> Iterator[str]:
    """Yield why energies are flagged or missing."""
    runs = [run for measured in report.measured for run in measured.runs]
    if len(runs) == 1:
        lines = [f"energy {runs[0].status}: {reason}" for reason in runs[0].reasons]
    else:
        lines = list(warning_lines(Counter(reason for run in runs for reason in run.reasons)))
    yield from first_lines(
        lines, lambda n: f"{count(n, 'more such line')}; --json prints all of them"
    )


def _rows(measured: Measured) -> Iterator[tuple[str, str]]:
    runs = measured.runs
    if not runs:
        yield "energy", "missing: no run was measured"
        return
    only = runs[0] if len(runs) == 1 else None
    yield "energy", _energy(measured)
    if measured.tokens is not None:
        per_token_j = measured.energy_per_token_j
        tokens = f"{measured.tokens:,} tokens"
        yield "J/token", "missing" if per_token_j is None else f"{per_token_j:.4g} ({tokens})"
    yield "duration", _mean(measured.duration_s, "s")
    if only is not None:
        if only.cpu_time_s is not None:
            yield "processor time", f"{only.cpu_time_s:.4g} s"
        for device in only.devices:
            energy = _with_bound(device.energy_j, device.bound_j)
            powers = [
                "mean power not known"
                if device.power_mean_w is None
                else f"mean {device.power_mean_w:.4g} W",
                "peak not known"
                if device.power_max_w is None
                else f"peak {device.power_max_w:.4g} W",
            ]
            yield device.device, ", ".join([energy, *powers])
        if only.host_energy_j is not None:
            host = _with_bound(only.host_energy_j, only.host_bound_j)
            yield "processor", f"{host}, beside the GPUs and not part of the energy"


def _energy(measured: Measured) -> str:
    if measured.energy_j is None:
        return "missing"
    if len(measured.runs) > 1:
        return _mean(measured.energy_j, "J")
    run = measured.runs[0]
    return f"{_with_bound(run.energy_j, run.bound_j)}, {run.status} ({run.method})"


def _with_bound(energy_j: float | None, bound_j: float | None) -> str:
    if energy_j is None:
        return "energy missing"
    bound = "" if bound_j is None else f" ± {plain(bound_j, 2)}"
    return f"{plain(energy_j, 6)}{bound} J"


def _mean(mean: Mean | None, unit: str) -> str:
    if mean is None:
        return "missing"
    text = f"{plain(mean.mean, 6)} {unit}"
    if mean.n == 1:
        return text
    if mean.ci95_low is None or mean.ci95_high is None:
        return f"{text}, mean of {mean.n} runs; an interval needs three"
    interval = f"{plain(mean.ci95_low, 6)} to {plain(mean.ci95_high, 6)} {unit}"
    return f"{text}, mean of {mean.n} runs, 95 % interval {interval}"


def _comparison(compared: Compared, first: str, second: str) -> Iterator[str]:
    yield f"{first} compared with {second}:"
    yield "  energy: " + _ratio(compared.energy, compared.energy_reason)
    yield "  duration: " + _ratio(compared.duration, compared.duration_reason)


def _ratio(ratio: Ratio | None, reason: str | None) -> str:
    if ratio is None:
        return f"no ratio: {reason}"
    interval = (
        f"95 % interval {plain(ratio.ci95_low, 4)} to {plain(ratio.ci95_high, 4)}, "
        f"{count(ratio.n_pairs, 'pair')} of runs"
    )
    if ratio.distinguishable:
        return f"{plain(ratio.ratio, 4)} times ({interval})"
    return f"cannot be told apart: {plain(ratio.ratio, 4)} times ({interval})"


def _name(measured: Measured) -> str:
    return shortened(measured.subject, _MAX_COMMAND)
