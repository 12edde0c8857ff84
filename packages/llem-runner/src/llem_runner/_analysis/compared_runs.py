"""Which runs of a study are compared.

This depends on which runs have a result, never on the values of the results.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from llem_runner._analysis.common_blocks import Block, Fit, common_blocks, fit_points
from llem_runner._analysis.headline import headline, headline_values
from llem_runner._analysis.machine_kinds import kinds_of, other_kinds
from llem_runner._analysis.machines import Machines, other_differences
from llem_runner._analysis.statistics import geometric_mean
from llem_runner._storage.comparison_records import Comparisons, Figure
from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.run_facts import MeasuredRun

TOO_FEW = "too few results"
NO_COMMON_BLOCK = "no block in common with the compared points"


class ComparedRuns(msgspec.Struct, frozen=True):
    """The runs that are compared."""

    figure: Figure
    points: tuple[str, ...]
    """Hashes of the points with enough results."""
    left_out: tuple[str, ...]
    """Hashes of the other points."""
    apart: tuple[str, ...]
    """Of these, the ones with enough results, which no cycle connects with those that are compared."""
    blocks: dict[Block, dict[str, int]]
    """For each block, in order of its cycle, the index of the run of each point that has one there;
    at least two."""
    values: dict[int, float]
    """The figure of every run that has a positive one, also of runs that are not compared."""
    machines: Machines = Machines({}, (), ())
    """What is known of the machines of all runs, and which runs are left out because of it."""
    reasons: tuple[str, ...] = ()
    """For each point of `left_out`, why it is not compared."""

    @property
    def rows(self) -> list[list[int]]:
        """Return the indices of the compared runs, one row per block."""
        return [list(runs.values()) for runs in self.blocks.values()]

    @property
    def is_complete(self) -> bool:
        """Return whether every compared point has a run in every block."""
        return all(len(runs) == len(self.points) for runs in self.blocks.values())

    @property
    def complete_rows(self) -> list[list[int]]:
        """Return the indices of the runs of the blocks in which every compared point has one.

        One row per block, points in the order of `points`.
        """
        return [
            [runs[point] for point in self.points]
            for runs in self.blocks.values()
            if len(runs) == len(self.points)
        ]

    @property
    def n_runs(self) -> int:
        """Return the number of compared runs."""
        return sum(map(len, self.blocks.values()))

    @property
    def n_runs_of(self) -> dict[str, int]:
        """Return the number of compared runs of each point."""
        counts = Counter(point for runs in self.blocks.values() for point in runs)
        return {point: counts[point] for point in self.points}

    def values_by_point(self) -> dict[str, list[float]]:
        """Return the figure of the compared runs of each point, in order of the blocks."""
        values: dict[str, list[float]] = {point: [] for point in self.points}
        for runs in self.blocks.values():
            for point, index in runs.items():
                values[point].append(self.values[index])
        return values

    def fit(self, alpha: float) -> Fit:
        """Return the comparison of the points; `alpha` is how often any interval may be wrong."""
        return fit_points(self.points, self.blocks, self.values, alpha)


def runs_to_compare(
    entries: Sequence[ManifestEntry], results: Mapping[int, MeasuredRun]
) -> ComparedRuns:
    """Return the runs of the points that have enough results, by block.

    Args:
        entries: every planned run of the study.
        results: results of the completed runs, by index.
    """
    others = other_kinds(kinds_of(results))
    comparable = {i: result for i, result in results.items() if i not in others.reasons}
    figure = headline(comparable.values())
    values = headline_values(results, figure)
    found = common_blocks(entries, values.keys() & comparable.keys())
    elsewhere = Counter(entry.config_hash for entry in entries if entry.index in others.reasons)
    return ComparedRuns(
        figure=figure,
        points=found.points,
        left_out=found.left_out,
        apart=found.apart,
        blocks=found.blocks,
        values=values,
        machines=Machines(
            others.reasons,
            others.sentences,
            (*others.caveats, *other_differences(r for i, r in comparable.items() if i in values)),
        ),
        reasons=tuple(
            NO_COMMON_BLOCK if point in found.apart else _why_too_few(elsewhere[point])
            for point in found.left_out
        ),
    )


def _why_too_few(n_elsewhere: int) -> str:
    """Return why a point is not compared, of which some runs are on another kind of machine."""
    if not n_elsewhere:
        return TOO_FEW
    runs = "1 of its runs is" if n_elsewhere == 1 else f"{n_elsewhere} of its runs are"
    return f"{TOO_FEW}: {runs} on another kind of machine"


def comparable_values(compared: ComparedRuns, comparisons: Comparisons) -> dict[str, list[float]]:
    """Return the figure of the compared runs of each point, in order of the blocks.

    If a point lacks a run in a block, its other runs say too little or too much about it. Then its
    values are multiplied by one factor, so that the geometric means have the ratios that the comparison
    found; the geometric mean of all values together stays as it was measured. Returns {} if nothing is
    compared.
    """
    if comparisons.reference_hash is None:
        return {}
    values = compared.values_by_point()
    if compared.is_complete:
        return values
    ratios = {point.config_hash: math.log(point.ratio) for point in comparisons.points}
    factors = {
        point: ratios.get(point, 0.0) - math.log(geometric_mean(own))
        for point, own in values.items()
    }
    level = sum(factors[point] * len(own) for point, own in values.items()) / compared.n_runs
    return {
        point: [math.exp(factors[point] - level) * value for value in own]
        for point, own in values.items()
    }
