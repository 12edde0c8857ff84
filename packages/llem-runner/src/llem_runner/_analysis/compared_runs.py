"""Which runs of a study are compared.

This depends on which runs have a result, never on the values of the results.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from llem_runner._analysis.complete_blocks import BlockComparison, compare_complete_blocks
from llem_runner._analysis.headline import headline, headline_values
from llem_runner._analysis.incomplete_blocks import IncompleteBlockComparison
from llem_runner._analysis.incomplete_spreads import BlockRun
from llem_runner._analysis.machine_kinds import kinds_of, other_kinds
from llem_runner._analysis.machines import Machines, other_differences
from llem_runner._analysis.statistics import geometric_mean
from llem_runner._storage.comparison_records import Comparisons, Figure
from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.run_facts import MeasuredRun

Block = tuple[
    int, int, int
]  # the cycle, the shard, and the start of the study or shard that ran it
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

    def fit(self, alpha: float) -> BlockComparison | IncompleteBlockComparison:
        """Return the comparison of the points; `alpha` is how often any interval may be wrong."""
        if self.is_complete:
            return compare_complete_blocks(
                [[self.values[index] for index in row] for row in self.complete_rows], alpha
            )
        position = {point: n for n, point in enumerate(self.points)}
        return IncompleteBlockComparison(
            [
                BlockRun(position[point], block, math.log(self.values[index]))
                for block, runs in enumerate(self.blocks.values())
                for point, index in runs.items()
            ],
            alpha,
        )


def runs_to_compare(
    entries: Sequence[ManifestEntry], results: Mapping[int, MeasuredRun]
) -> ComparedRuns:
    """Return the runs of the points that have enough results, by block.

    A block is what one start of the study ran of one cycle: its runs share a machine and a stretch
    of time. A run that is alone in its block says nothing about differences.

    Args:
        entries: every planned run of the study.
        results: results of the completed runs, by index.
    """
    others = other_kinds(kinds_of(results))
    comparable = {i: result for i, result in results.items() if i not in others.reasons}
    figure = headline(comparable.values())
    values = headline_values(results, figure)
    points: dict[str, dict[Block, int]] = {}
    for entry in entries:
        runs = points.setdefault(entry.config_hash, {})
        if entry.index in values and entry.index in comparable:
            runs[block_of(entry)] = entry.index
    # Shares, because points that were added later, and their anchors, have other numbers of runs.
    planned = Counter(entry.config_hash for entry in entries)
    shares = {point: len(runs) / planned[point] for point, runs in points.items()}
    largest = max(shares.values(), default=0.0)
    enough = [point for point, share in shares.items() if share and 2 * share >= largest]
    part = _largest_part(enough, points)
    kept = part if len(part) > 1 else enough  # no block has two points: nothing can be compared
    is_kept, has_enough = set(kept), set(enough)
    left_out = tuple(point for point in points if point not in is_kept)
    elsewhere = Counter(entry.config_hash for entry in entries if entry.index in others.reasons)
    by_block: dict[Block, dict[str, int]] = {}
    for point in kept:
        for block, index in points[point].items():
            by_block.setdefault(block, {})[point] = index
    return ComparedRuns(
        figure=figure,
        points=tuple(kept),
        left_out=left_out,
        apart=tuple(point for point in left_out if point in has_enough),
        blocks={
            block: runs
            for block, runs in sorted(by_block.items())
            if len(runs) > 1 or len(kept) == 1
        },
        values=values,
        machines=Machines(
            others.reasons,
            others.sentences,
            (*others.caveats, *other_differences(r for i, r in comparable.items() if i in values)),
        ),
        reasons=tuple(
            NO_COMMON_BLOCK if point in has_enough else _why_too_few(elsewhere[point])
            for point in left_out
        ),
    )


def block_of(entry: ManifestEntry) -> Block:
    """Return the block of a run."""
    return entry.cycle, entry.shard or 0, entry.session or 0


def _why_too_few(n_elsewhere: int) -> str:
    """Return why a point is not compared, of which some runs are on another kind of machine."""
    if not n_elsewhere:
        return TOO_FEW
    runs = "1 of its runs is" if n_elsewhere == 1 else f"{n_elsewhere} of its runs are"
    return f"{TOO_FEW}: {runs} on another kind of machine"


def _largest_part(points: Sequence[str], runs: Mapping[str, Iterable[Block]]) -> list[str]:
    """Return the points of the largest part that shared blocks connect, in the same order."""
    part = {point: {point} for point in points}
    members: dict[Block, str] = {}
    for point in points:
        for block in runs[point]:
            other = members.setdefault(block, point)
            if part[other] is not part[point]:
                small, large = sorted((part[other], part[point]), key=len)
                large |= small
                for each in small:
                    part[each] = large
    largest = max((part[point] for point in points), key=len, default=set())
    return [point for point in points if point in largest]


def comparable_values(compared: ComparedRuns, comparisons: Comparisons) -> dict[str, list[float]]:
    """Return the figure of the compared runs of each point, in order of the blocks.

    If a point lacks a run in a block, its other runs say too little or too much about it. Then its
    values are multiplied by one factor, so that its geometric mean and that of the reference have
    the ratio that the comparison found. Returns {} if nothing is compared.
    """
    if comparisons.reference_hash is None:
        return {}
    values = compared.values_by_point()
    if compared.is_complete:
        return values
    reference = geometric_mean(values[comparisons.reference_hash])
    for point in comparisons.points:
        own = values[point.config_hash]
        factor = point.ratio * reference / geometric_mean(own)
        values[point.config_hash] = [factor * value for value in own]
    return values
