"""Everything a person sees: plans and records on stdout, progress on stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from llem_config import StudyConfig
from llem_energy import ExperimentResult, PhaseResult, estimate_memory, gigabytes
from llem_runner import PlannedRun, StudyManifest, gap_seconds

MOST_LINES = 10
"""Of one kind, before the rest is only counted."""
_WIDE = 250  # columns where nobody's terminal limits us: a file or a pipe


def out() -> Console:
    """Return a console for the record."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDE, highlight=False)


def show_json(data: bytes) -> None:
    """Print what a program may read."""
    sys.stdout.write(data.decode().rstrip("\n") + "\n")


def say(line: str) -> None:
    """Print one line of the record."""
    print(line)


def note(line: str) -> None:
    """Print one line beside the record; nobody there to read it is no reason to stop."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Return a duration as a person says it: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(number: int, noun: str) -> str:
    """Return a count with its noun: `1 run`, `2 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def study_lines(study: StudyConfig, runs: Sequence[PlannedRun]) -> Iterable[str]:
    """Yield what a person should know before a study runs."""
    n_points, n_cycles = len(study.experiments), study.execution.n_cycles
    yield (
        f"{study.name}: {count(n_points, 'point')} x {count(n_cycles, 'cycle')} = "
        f"{count(len(runs), 'run')}, "
        f"{study.execution.cycle_order} (design {study.study_design_hash})"
    )
    dropped = []
    if study.n_duplicates:
        dropped.append(f"{count(study.n_duplicates, 'duplicate')} dropped")
    if study.n_excluded:
        dropped.append(f"{count(study.n_excluded, 'point')} excluded")
    if dropped:
        yield ", ".join(dropped)
    if study.skipped:
        yield f"{count(len(study.skipped), 'point')} skipped, which the backend cannot run:"
        reasons = [point.reason for point in study.skipped]
        often = sorted({(reasons.count(reason), reason) for reason in reasons}, reverse=True)
        for n_points, reason in often[:MOST_LINES]:
            yield f"  {n_points} x {reason}"
    gaps_s = sum(gap_seconds(run.gap, study.execution) for run in runs)
    # The main window of a run, and one for each phase that is measured alone.
    energies = [run.config.energy for run in runs]
    windows_s = sum(e.min_window_seconds * (1 + len(e.phases or ())) for e in energies)
    yield (
        f"takes at least {duration(gaps_s + windows_s)}: {duration(gaps_s)} of pauses, "
        f"{duration(windows_s)} of measured windows, and the time to load and warm up"
    )


def show_plan(runs: Sequence[PlannedRun], study: StudyConfig) -> None:
    """Print every run in execution order, with the memory its point is estimated to need."""
    columns = ("run", "cycle", "point", "config_hash", "pause before", "memory, about")
    table = Table(*columns, box=None)
    memory: dict[str, str] = {}
    for run in runs:
        pause = "-" if run.gap is None else duration(gap_seconds(run.gap, study.execution))
        if run.config_hash not in memory:
            estimate = estimate_memory(run.config)
            known = "unknown" if estimate is None else gigabytes(estimate.total_bytes)
            memory[run.config_hash] = known
        about = memory[run.config_hash]
        table.add_row(str(run.index), str(run.cycle), run.label, run.config_hash, pause, about)
    out().print(table)


def show_manifest(
    manifest: StudyManifest, folder: str, *, running: bool | None, left_s: float | None = None
) -> None:
    """Print the state of a study that has no record yet.

    Args:
        manifest: its state.
        folder: where it is.
        running: a process is at it; else one was killed. None: it cannot be told.
        left_s: what it will still take, about.
    """
    table = Table("run", "cycle", "point", "status", "error", box=None)
    for entry in manifest.entries:
        error = f"{entry.error_type}: {entry.error_message}" if entry.error_type else ""
        status = entry.status if entry.attempts < 2 else f"{entry.status} ({entry.attempts} x)"
        table.add_row(str(entry.index), str(entry.cycle), entry.label, status, error)
    out().print(table)
    totals = manifest.totals
    say(
        f"{manifest.study_name}: {manifest.status}; {totals.completed} completed, "
        f"{totals.failed} failed, {totals.pending} pending, {totals.running} running, "
        f"{totals.interrupted} interrupted"
    )
    if running and not totals.running and totals.pending:
        say("no run is on: a pause between two of them, or waiting for a GPU")
    if running and left_s is not None:
        say(f"about {duration(left_s)} left")
    if running is None:
        say("whether a process is at it cannot be told from here")
    elif not running:
        say(f"no process is at it; `llem-cli study resume {folder}` goes on")
    say(f"results: {folder}")


def show_experiment(result: ExperimentResult) -> None:
    """Print the headline figures of one measurement."""
    table = Table(show_header=False, box=None)
    table.add_row("tokens/s", f"{result.tokens_per_second:.4g}")
    table.add_row("output tokens", f"{result.output_tokens} in {result.window_s:.2f} s")
    first = result.time_to_first_token
    table.add_row("first token", "missing" if first is None else f"{first.mean_s * 1e3:.3g} ms")
    table.add_row("energy", _energy(result))
    per_token = result.energy_per_output_token_j
    table.add_row("J/output token", "missing" if per_token is None else f"{per_token:.4g}")
    if result.energy_adjusted_j is not None:
        idle = f"{result.baseline_power_w:.4g} W idle taken off"
        table.add_row("above idle", f"{result.energy_adjusted_j:.6g} J ({idle})")
    for phase in result.phases:
        table.add_row(f"{phase.phase} alone", _phase(phase))
    if result.energy_estimated_j is not None:
        table.add_row("modelled J", f"{result.energy_estimated_j:.4g} (an estimate, not measured)")
    out().print(table)
    for warning in result.measurement_warnings:
        note(f"warning: {warning}")


def _energy(result: ExperimentResult) -> str:
    if result.energy_total_j is None:
        return "missing"
    within = _within(result.energy_bound_j)
    return (
        f"{result.energy_total_j:.6g}{within} J, {result.energy_status} "
        f"({result.energy_source}: {result.energy_method})"
    )


def _phase(phase: PhaseResult) -> str:
    if phase.tokens_per_second is None:
        return f"missing: {'; '.join(phase.quality.reasons)}"
    speed = f"{phase.tokens_per_second:.4g} tokens/s"
    if phase.energy_j is None or phase.energy_per_token_j is None:
        return f"{speed}, energy missing"
    what = "input" if phase.phase == "prefill" else "output"
    return (
        f"{phase.energy_per_token_j:.4g} J/{what} token, {speed}; {phase.energy_j:.6g}"
        f"{_within(phase.energy_bound_j)} J in {phase.window_s:.2f} s"
    )


def _within(bound_j: float | None) -> str:
    return "" if bound_j is None else f" ± {bound_j:.2g}"
