"""The two studies of a comparison, reduced to the points that both have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from llem_report._comparison.blocks import Block, CompleteCycles, complete_cycles, values_of
from llem_report._comparison.conditions import Condition
from llem_report._comparison.measured_study import MeasuredRun, MeasuredStudy
from llem_report._comparison.pairing import Pair
from llem_report._comparison.welch import Part, cycle_sd, mean
from llem_report._study_data.study_data import FigureInfo
from llem_report.comparison_records import ComparedStudy, UnpairedPoint

SENSOR_GAIN = 0.05
"""Share by which the sensors of two boards of one kind may differ, by published comparisons."""


class Side(NamedTuple):
    """One of the two studies, reduced to the paired points."""

    study: MeasuredStudy
    runs: tuple[MeasuredRun, ...]
    """All runs of the paired points."""
    values: Mapping[str, Mapping[Block, float]]
    cycles: CompleteCycles

    def parts(self) -> tuple[Part, ...]:
        """Return the cycle means; without a complete cycle, one mean over all runs of a point."""
        if self.cycles.n_cycles:
            return self.cycles.parts()
        means = [math.fsum(runs.values()) / len(runs) for runs in self.values.values()]
        return (Part(1.0, (math.fsum(means) / len(means),)),)

    @property
    def identities(self) -> frozenset[tuple[str, str]]:
        """Return what tells the runs from those of other folders."""
        return frozenset(run.identity for run in self.runs)

    @property
    def conditions(self) -> frozenset[Condition]:
        """Return the conditions of the study and of the runs of the paired points."""
        return self.study.conditions.union(*(run.conditions for run in self.runs))

    def summary(self) -> ComparedStudy:
        """Return the study as the comparison reports it."""
        manifest, parts = self.study.manifest, self.parts()
        return ComparedStudy(
            name=manifest.study_name,
            folder=str(self.study.folder),
            study_design_hash=manifest.study_design_hash,
            status=manifest.status,
            n_points=len(self.study.labels),
            n_cycles=self.cycles.n_cycles,
            n_runs=self.cycles.n_runs,
            mean=math.exp(mean(parts)),
            cycle_sd=cycle_sd(parts),
        )


def side_of(study: MeasuredStudy, points: Sequence[str], figure: FigureInfo) -> Side:
    """Return a study reduced to some of its points."""
    paired = set(points)
    runs = tuple(run for run in study.runs if run.config_hash in paired)
    values = values_of(runs, figure.name, points)
    return Side(study, runs, values, complete_cycles(values))


def with_results(
    base: MeasuredStudy, new: MeasuredStudy, pairs: Sequence[Pair], figure: FigureInfo
) -> tuple[list[Pair], list[UnpairedPoint]]:
    """Return the pairs with enough results in both studies, and the points of the others.

    A point with fewer than half as many results as the point with the maximum number is left out,
    because every cycle in which it is missing is incomplete.
    """
    counts = []
    for side, study in enumerate((base, new)):
        points = [pair[side] for pair in pairs]
        values = values_of(study.runs, figure.name, points)
        counts.append([len(values[point]) for point in points])
    maxima = [max(side, default=0) for side in counts]
    kept: list[Pair] = []
    left_out: list[UnpairedPoint] = []
    for pair, *numbers in zip(pairs, *counts, strict=True):
        too_few = [n == 0 or 2 * n < most for n, most in zip(numbers, maxima, strict=True)]
        if not any(too_few):
            kept.append(pair)
            continue
        side = too_few.index(True)
        study, point = (base, new)[side], pair[side]
        left_out.append(
            UnpairedPoint(
                study="new" if side else "base",
                config_hash=point,
                label=study.labels[point],
                reason=f"too few results: {numbers[side]} of up to {maxima[side]}"
                + _elsewhere(study.elsewhere.get(point, 0)),
            )
        )
    return kept, left_out


def _elsewhere(n: int) -> str:
    """Return that runs of a point are not compared because of their machine, if so."""
    if not n:
        return ""
    return f", and {n} {'run' if n == 1 else 'runs'} on another kind of machine"


def sensor_gain(old: Side, later: Side, figure: FigureInfo) -> float:
    """Return by how much the sensors of two studies may differ; 0 for the same devices."""
    if not figure.is_energy:
        return 0.0
    devices = [
        frozenset(device for run in side.runs for device in run.devices) for side in (old, later)
    ]
    if devices[0] != devices[1]:
        return SENSOR_GAIN
    # Only GPUs have names that are unique in the world.
    are_gpus = all(device.startswith(("GPU-", "MIG-")) for device in devices[0])
    same_host = old.study.manifest.host == later.study.manifest.host
    return 0.0 if are_gpus or same_host else SENSOR_GAIN
