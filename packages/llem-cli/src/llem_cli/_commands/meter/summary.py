"""Means over the runs of a command, and the ratios of two commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from llem_cli._display.meter_report import Compared, Mean, Measured, MeasuredRun, Ratio


def summary(
    command: Sequence[str], subject: str, tokens: int | None, runs: Sequence[MeasuredRun]
) -> Measured:
    """Return the runs of a command with their means; runs that failed are in no mean of several."""
    counted = runs if len(runs) == 1 else [run for run in runs if run.exit_code == 0]
    energies_j = [run.energy_j for run in counted if run.energy_j is not None]
    energy = _mean(energies_j) if len(energies_j) == len(counted) else None
    per_token_j = energy.mean / tokens if energy is not None and tokens else None
    return Measured(
        command=tuple(command),
        subject=subject,
        tokens=tokens,
        runs=tuple(runs),
        energy_j=energy,
        energy_reasons=_reasons(counted),
        energy_per_token_j=per_token_j,
        duration_s=_mean([run.duration_s for run in counted]),
    )


def compared(first: Measured, second: Measured) -> Compared:
    """Return the ratios of two commands that ran in turn."""
    pairs = [
        (a, b)
        for a, b in zip(first.runs, second.runs, strict=False)
        if a.exit_code == b.exit_code == 0
    ]
    durations = [(a.duration_s, b.duration_s) for a, b in pairs]
    energies = [(a.energy_j, b.energy_j) for a, b in pairs]
    known = [(a, b) for a, b in energies if a is not None and b is not None]
    energy, energy_reason = _ratio(known)
    if len(known) < len(energies):
        energy, energy_reason = None, "the energy of a run is missing"
    duration, duration_reason = _ratio(durations)
    return Compared(
        energy=energy,
        energy_reason=energy_reason,
        duration=duration,
        duration_reason=duration_reason,
    )


def _reasons(runs: Sequence[MeasuredRun]) -> tuple[str, ...]:
    """Return each reason once, in the order in which the runs have them."""
    return tuple(dict.fromkeys(reason for run in runs for reason in run.reasons))


def _mean(values: Sequence[float]) -> Mean | None:
    if not values:
        return None
    if len(values) == 1:
        return Mean(mean=values[0], n=1)
    if min(values) <= 0:
        return Mean(
            mean=sum(values) / len(values), n=len(values)
        )  # an energy of 0 has no logarithm
    from llem_runner.repeats import geometric_mean, mean_interval  # takes a second

    low, high = mean_interval(values) or (None, None)
    return Mean(mean=geometric_mean(values), n=len(values), ci95_low=low, ci95_high=high)


def _ratio(pairs: Sequence[tuple[float, float]]) -> tuple[Ratio | None, str | None]:
    from llem_runner.repeats import MIN_RUNS_FOR_INTERVAL, ratio_of_pairs

    if len(pairs) < MIN_RUNS_FOR_INTERVAL:
        return None, f"an interval needs at least {MIN_RUNS_FOR_INTERVAL} pairs of runs"
    found = ratio_of_pairs([a for a, _ in pairs], [b for _, b in pairs])
    if found is None:
        return None, "a figure of a run is 0"
    fields: dict[str, Any] = msgspec.structs.asdict(found)
    return Ratio(**fields), None
