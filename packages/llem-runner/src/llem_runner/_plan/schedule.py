"""The explicit list of runs, made once; runner, manifest, gaps and resume all read it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

import msgspec

from llem_config import ExecutionConfig, ExperimentConfig, measurement_config_hash
from llem_runner._plan.labels import labels

GapKind = Literal["config", "cycle"]


class PlannedRun(msgspec.Struct, frozen=True):
    """One execution of one experiment."""

    index: int
    """1-based position in the study; the key of a run everywhere."""
    cycle: int
    """1-based."""
    config: ExperimentConfig
    config_hash: str
    label: str
    """What tells this experiment from the others of the study."""
    gap: GapKind | None
    """The pause before it; None before the first run."""


def schedule(
    configs: Sequence[ExperimentConfig], execution: ExecutionConfig
) -> tuple[PlannedRun, ...]:
    """Return every run of a study in execution order, numbered from 1.

    `sequential` finishes all cycles of a point before the next (A A B B), so no cycle of the
    whole study ever ends and every pause is the one between configurations. The other orders go
    through all points cycle by cycle; the longer pause comes where a cycle begins.
    """
    points = list(zip(configs, labels(configs), map(measurement_config_hash, configs), strict=True))
    cycles = range(1, execution.n_cycles + 1)
    if execution.cycle_order == "sequential":
        turns = [(cycle, point) for point in points for cycle in cycles]
    else:
        turns = [(cycle, point) for cycle in cycles for point in _ordered(points, cycle, execution)]
    runs = []
    for index, (cycle, (config, label, config_hash)) in enumerate(turns, 1):
        before = turns[index - 2][0] if index > 1 else None
        gap = gap_between(before, cycle, execution)
        runs.append(PlannedRun(index, cycle, config, config_hash, label, gap))
    return tuple(runs)


_Point = tuple[ExperimentConfig, str, str]


def _ordered(points: list[_Point], cycle: int, execution: ExecutionConfig) -> list[_Point]:
    if execution.cycle_order == "interleaved":
        return points
    # Seeded per cycle, so that a cycle added later leaves the order of the earlier ones alone.
    return random.Random(f"{execution.shuffle_seed}/{cycle}").sample(points, len(points))


def gap_between(before: int | None, cycle: int, execution: ExecutionConfig) -> GapKind | None:
    """Return the pause between a run of cycle `before` (None: no run) and one of `cycle`."""
    if before is None:
        return None
    return "cycle" if execution.cycle_order != "sequential" and before != cycle else "config"


def gap_seconds(gap: GapKind | None, execution: ExecutionConfig) -> float:
    """Return the length of a pause in seconds."""
    match gap:
        case "config":
            return execution.config_gap_seconds or 0.0
        case "cycle":
            return execution.cycle_gap_seconds or 0.0
        case None:
            return 0.0
