"""A study before it runs: as lines, as a table, and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from llem_cli._display.console import (
    MAX_LINES,
    count,
    duration,
    say,
    show_json,
    stdout_console,
)
from llem_cli._display.point_names import print_rows
from llem_config import ExperimentConfig, Factor, StudyConfig
from llem_energy.models import estimate_memory, gigabytes
from llem_energy.preflight import DatasetCheck
from llem_runner.plan import Expectation, Forecast, PlannedRun, gap_seconds, levels

REFUSED = "will be refused"
"""Begins a line with a reason why `study run` would not start the study."""
_MAX_LEVELS = 8
_NOTABLE_S = 60.0  # gaps that last longer in all are worth a line


def summary_lines(
    study: StudyConfig, runs: Sequence[PlannedRun], forecast: Forecast | None
) -> Iterator[str]:
    """Yield the size of a study, what is left out of it, and how long it takes if that is known."""
    n_points, n_cycles = len(study.experiments), study.execution.n_cycles
    yield (
        f"{study.name}: {count(n_points, 'point')} x {count(n_cycles, 'cycle')} = "
        f"{count(len(runs), 'run')}, "
        f"{study.execution.cycle_order} (design {study.study_design_hash})"
    )
    if study.factors:
        yield f"factors: {', '.join(map(_factor, study.factors))}"
    dropped = []
    if study.n_duplicates:
        dropped.append(f"{count(study.n_duplicates, 'duplicate')} dropped")
    if study.n_excluded:
        dropped.append(f"{count(study.n_excluded, 'point')} excluded")
    if dropped:
        yield ", ".join(dropped)
    if study.skipped:
        yield f"{count(len(study.skipped), 'point')} skipped because the backend cannot run them:"
        reasons = Counter(point.reason for point in study.skipped)
        for reason, n_points in reasons.most_common(MAX_LINES):
            yield f"  {n_points} x {reason}"
    if forecast is None:
        return
    yield _time_line(forecast)
    if forecast.has_needless_gaps and forecast.gaps_s > _NOTABLE_S:
        yield (
            f"`study run --no-gaps` saves {duration(forecast.gaps_s)}. Each run then begins on a warm "
            "processor, so intervals may be wider."
        )


def _time_line(forecast: Forecast) -> str:
    gaps_s, measured_s = forecast.gaps_s, forecast.windows_s
    if forecast.overhead_s is not None:
        return (
            f"takes about {duration(gaps_s + measured_s + forecast.overhead_s)} ({duration(gaps_s)} of "
            f"gaps, {duration(measured_s)} of measured windows, and loading and warm-up as in "
            f"{count(forecast.n_earlier_runs, 'earlier run')} here)"
        )
    if gaps_s + measured_s + forecast.known_overhead_s < 1:
        return "takes the time of loading and warm-up; gaps and measured windows add less than 1 s"
    earlier = ""
    if forecast.known_overhead_s:
        earlier = (
            f", {duration(forecast.known_overhead_s)} of loading and warm-up as in "
            f"{count(forecast.n_earlier_runs, 'earlier run')} here"
        )
    return (
        f"takes at least {duration(gaps_s + measured_s + forecast.known_overhead_s)} "
        f"({duration(gaps_s)} of gaps, {duration(measured_s)} of measured windows{earlier}), plus loading "
        f"and warm-up{_of_models(forecast.unknown)}"
    )


def _of_models(models: Sequence[str]) -> str:
    """Return of which models nothing is known: ` of gpt2, which has not run here before`."""
    if not models:
        return ""
    shown = f"{', '.join(models[:MAX_LINES])}{' and others' if len(models) > MAX_LINES else ''}"
    return f" of {shown}, which {'has' if len(models) == 1 else 'have'} not run here before"


def _factor(factor: Factor) -> str:
    """Return a factor with its levels: `precision (fp32, bf16)`."""
    levels = [*factor.levels[:_MAX_LEVELS]]
    if n_more := len(factor.levels) - len(levels):
        levels.append(f"{n_more} more")
    return f"{factor.key} ({', '.join(levels)})"


def warning_lines(study: StudyConfig) -> Iterator[str]:
    """Yield what has no effect in a study file; a run reports it with the warnings of pre-flight."""
    yield from (f"warning: {warning}" for warning in study.warnings)


def dataset_line(check: DatasetCheck) -> str:
    """Return what was checked of a data set, and which column it has the prompts in."""
    if check.column is None:
        return "synthetic prompts: nothing to read"
    rows = count(check.n_checked, "row")
    return f"data set {check.where}: {rows} checked, the prompts are the column {check.column!r}"


def show_plan(
    study: StudyConfig,
    runs: tuple[PlannedRun, ...],
    expectation: Expectation,
    forecast: Forecast | None,
    *,
    as_json: bool,
) -> None:
    """Print every run of a study in execution order, with the estimated memory of its point.

    Args:
        study: a study that was not started.
        runs: of the study.
        expectation: what `study run` would report on this machine.
        forecast: how long the study would take; None if that is not known.
        as_json: print JSON instead of text.
    """
    if as_json:
        data = _data(study, expectation.refused)
        data["will_fail"] = list(expectation.will_fail)
        data["warnings"] += expectation.warnings
        for point, config in zip(data["points"], study.experiments, strict=True):
            point["memory"] = _memory(config)
        data["runs"] = [
            {"index": run.index, "cycle": run.cycle, "config_hash": run.config_hash} for run in runs
        ]
        show_json(_json(data))
        return
    for line in (*summary_lines(study, runs, forecast), *warning_lines(study)):
        say(line)
    for line in expectation.refused:
        say(f"{REFUSED}: {line}")
    for line in expectation.will_fail:
        if line not in expectation.refused:
            say(f"will fail: {line}")
    for line in expectation.warnings:
        say(f"warning: {line}")
    memory = {
        config_hash: _memory_cell(config)
        for config_hash, config in zip(study.config_hashes, study.experiments, strict=True)
    }
    rows = []
    for run in runs:
        gap = "-" if run.gap is None else duration(gap_seconds(run.gap, study.execution))
        short_hash = run.config_hash[:8]  # as in the names of the run folders
        left = (str(run.index), str(run.cycle))
        rows.append((run.config_hash, left, (short_hash, gap, memory[run.config_hash])))
    print_rows(
        rows,
        (("run", "cycle"), ("hash", "gap\nbefore", "memory\n(estimate)")),
        dict(zip(study.config_hashes, levels(study), strict=True)),
        {run.config_hash: run.label for run in runs},
        stdout_console(),
        n_optional=1,  # the hash
    )


def study_as_json(
    study: StudyConfig, refused: Sequence[str], data: Sequence[DatasetCheck] | None = None
) -> str:
    """Return a study as JSON: points, hashes, counts, what was skipped, and its data sets.

    Args:
        study: a study that was not started.
        refused: why it cannot run on any machine.
        data: what was checked of its data sets; None if nothing was.
    """
    described = _data(study, refused)
    if data is not None:
        described["data"] = [
            {"data_set": check.where, "column": check.column, "n_checked": check.n_checked}
            for check in data
        ]
    return _json(described)


def _data(study: StudyConfig, refused: Sequence[str]) -> dict[str, Any]:
    n_points = len(study.experiments)
    return {
        "name": study.name,
        "study_design_hash": study.study_design_hash,
        "n_points": n_points,
        "n_cycles": study.execution.n_cycles,
        "n_runs": n_points * study.execution.n_cycles,
        "n_duplicates": study.n_duplicates,
        "n_excluded": study.n_excluded,
        "warnings": list(study.warnings),
        "points": [
            {
                "config_hash": config_hash,
                "config": config.model_dump(mode="json", exclude_none=True),
            }
            for config_hash, config in zip(study.config_hashes, study.experiments, strict=True)
        ],
        "skipped": [{"config": point.config, "reason": point.reason} for point in study.skipped],
        "refused": list(refused),
    }


def _memory(config: ExperimentConfig) -> dict[str, int] | None:
    """Return the estimated memory of a point in bytes; None if there is no estimate."""
    estimate = estimate_memory(config)
    if estimate is None:
        return None
    return {
        "weights_bytes": estimate.weights_bytes,
        "cache_bytes": estimate.cache_bytes,
        "activations_bytes": estimate.activations_bytes,
        "total_bytes": estimate.total_bytes,
    }


def _memory_cell(config: ExperimentConfig) -> str:
    estimate = estimate_memory(config)
    return "unknown" if estimate is None else gigabytes(estimate.total_bytes)


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False)
