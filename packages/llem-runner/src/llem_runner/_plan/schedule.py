"""The list of all runs of a study, made once and used by runner, manifest, gaps and resume."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, TypeVar

import msgspec

from llem_config import ExecutionConfig, ExperimentConfig, StudyConfig, cycles_and_points
from llem_runner._plan.labels import labels

GapKind = Literal["config", "cycle"]


class PlannedRun(msgspec.Struct, frozen=True):
    """One execution of one experiment."""

    index: int
    """Position in the study, from 1; it identifies the run everywhere."""
    cycle: int
    """Number of the cycle, from 1."""
    config: ExperimentConfig
    config_hash: str
    label: str
    """Short name: the fields in which this experiment differs from the others of the study."""
    gap: GapKind | None
    """The gap before the run; None before the first run."""


def schedule(study: StudyConfig) -> tuple[PlannedRun, ...]:
    """Return every run of a study in execution order, numbered from 1.

    `sequential` runs all cycles of a point before the next point (A A B B), so every gap is the
    one between configurations. The other orders run all points in each cycle; the longer gap
    comes before each new cycle. If points were added after some cycles, this holds for each part of
    the cycles.
    """
    configs, execution = study.experiments, study.execution
    points = list(zip(configs, labels(configs), study.config_hashes, strict=True))
    turns = []
    for cycles, positions in cycles_and_points(study.parts, execution.n_cycles, len(points)):
        present = [points[position] for position in positions]
        if execution.cycle_order == "sequential":
            turns += [(cycle, point) for point in present for cycle in cycles]
        else:
            turns += [(c, point) for c in cycles for point in ordered(present, c, execution)]
    runs = []
    previous_cycle = None
    for index, (cycle, (config, label, config_hash)) in enumerate(turns, 1):
        gap = gap_between(previous_cycle, cycle, execution)
        previous_cycle = cycle
        runs.append(PlannedRun(index, cycle, config, config_hash, label, gap))
    return tuple(runs)


T = TypeVar("T")


def ordered(points: Sequence[T], cycle: int, execution: ExecutionConfig) -> list[T]:
    """Return the points in the order in which a cycle, counted from 1, runs them."""
    if execution.cycle_order != "shuffled":
        return list(points)
    # Seeded per cycle, so that adding a cycle later does not change the order of earlier ones.
    return random.Random(f"{execution.shuffle_seed}/{cycle}").sample(points, len(points))


def gap_between(
    previous_cycle: int | None, cycle: int, execution: ExecutionConfig
) -> GapKind | None:
    """Return the gap between a run of `previous_cycle` (None: no run) and a run of `cycle`."""
    if previous_cycle is None:
        return None
    new_cycle = execution.cycle_order != "sequential" and previous_cycle != cycle
    return "cycle" if new_cycle else "config"


def gap_seconds(gap: GapKind | None, execution: ExecutionConfig) -> float:
    """Return the length of a gap in seconds."""
    match gap:
        case "config":
            return execution.config_gap_seconds or 0.0
        case "cycle":
            return execution.cycle_gap_seconds or 0.0
        case None:
            return 0.0


def windows_s(config: ExperimentConfig) -> float:
    """Return the least length of the measured windows of a run of a point in seconds.

    There is the main window, and one for each phase that is measured alone.
    """
    energy = config.energy
    return energy.min_window_seconds * (1 + len(energy.phases or ()))
