"""Which points have enough results in blocks that others share, and their comparison there.

This depends on which runs have a figure, never on the values.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from llem_runner._analysis.complete_blocks import BlockComparison, compare_complete_blocks
from llem_runner._analysis.incomplete_blocks import IncompleteBlockComparison
from llem_runner._analysis.incomplete_spreads import BlockRun
from llem_runner._plan.comparability import CONSTANT_ORDER, MIN_CYCLES, has_constant_order
from llem_runner._storage.manifest import ManifestEntry

Block = tuple[
    int, int, int
]  # the cycle, the shard, and the start of the study or shard that ran it
Fit = BlockComparison | IncompleteBlockComparison


class CommonBlocks(NamedTuple):
    """The runs that can be compared."""

    points: tuple[str, ...]
    """Hashes of the points with enough results, connected by blocks that they share."""
    left_out: tuple[str, ...]
    """Hashes of the other points."""
    apart: tuple[str, ...]
    """Of these, the ones with enough results, which no block connects with those of `points`."""
    blocks: dict[Block, dict[str, int]]
    """For each block, in order of its cycle, the index of the run of each point that has one there;
    at least two."""


def common_blocks(entries: Sequence[ManifestEntry], indices: Collection[int]) -> CommonBlocks:
    """Return the runs of the points that have enough results, by block.

    A block is what one start of the study ran of one cycle: its runs share a machine and a stretch
    of time. A run that is alone in its block says nothing about differences.

    Args:
        entries: every planned run of the study.
        indices: of the runs with the figure, on machines that can be compared.
    """
    points: dict[str, dict[Block, int]] = {}
    for entry in entries:
        runs = points.setdefault(entry.config_hash, {})
        if entry.index in indices:
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
    by_block: dict[Block, dict[str, int]] = {}
    for point in kept:
        for block, index in points[point].items():
            by_block.setdefault(block, {})[point] = index
    return CommonBlocks(
        points=tuple(kept),
        left_out=left_out,
        apart=tuple(point for point in left_out if point in has_enough),
        blocks={
            block: runs
            for block, runs in sorted(by_block.items())
            if len(runs) > 1 or len(kept) == 1
        },
    )


def block_of(entry: ManifestEntry) -> Block:
    """Return the block of a run."""
    return entry.cycle, entry.shard or 0, entry.session or 0


def fit_points(
    points: Sequence[str],
    blocks: Mapping[Block, Mapping[str, int]],
    values: Mapping[int, float],
    alpha: float,
) -> Fit:
    """Return the comparison of the points.

    Args:
        points: hashes of n >= 2 points.
        blocks: the index of the run of each point in each block.
        values: a positive figure of each of these runs.
        alpha: how often any interval may be wrong.
    """
    if all(len(runs) == len(points) for runs in blocks.values()):
        return compare_complete_blocks(
            [[values[runs[point]] for point in points] for runs in blocks.values()], alpha
        )
    position = {point: n for n, point in enumerate(points)}
    return IncompleteBlockComparison(
        [
            BlockRun(position[point], block, math.log(values[index]))
            for block, runs in enumerate(blocks.values())
            for point, index in runs.items()
        ],
        alpha,
    )


def why_not_compared(
    points: Sequence[str],
    blocks: Mapping[Block, Mapping[str, int]],
    cycle_order: str,
    name: str,
) -> str | None:
    """Return why the points cannot be compared, or None if they can.

    Args:
        points: hashes of the points.
        blocks: the index of the run of each point in each block.
        cycle_order: the order in which the study ran its points.
        name: of the figure, in words.
    """
    if not points:
        return f"no run has {name}"
    if len(points) == 1:
        return f"only one point has {name}"
    n_runs = Counter(point for runs in blocks.values() for point in runs)
    n_cycles = min(n_runs[point] for point in points)
    if n_cycles < MIN_CYCLES:
        complete = "1 complete cycle" if n_cycles == 1 else f"{n_cycles} complete cycles"
        return f"{complete} of the {len(points)} points, but at least {MIN_CYCLES} are needed"
    # Simulated: a drift of 3 % makes identical points differ every time in sequential order, and
    # in most studies where every cycle has the same order (benchmarks/energy_statistics.py).
    # Shuffled cycles can have the same order by chance: three cycles of two points in 1 of 4 studies.
    orders = [sorted(runs, key=runs.__getitem__) for runs in blocks.values()]
    if cycle_order == "sequential" or has_constant_order(orders):
        return CONSTANT_ORDER
    return None


def several_meters(
    blocks: Mapping[Block, Mapping[str, int]], sources: Mapping[int, str | None]
) -> str | None:
    """Return a sentence if the compared runs were not all metered by the same energy source.

    Args:
        blocks: the index of the run of each point in each block.
        sources: by index, the energy source of each run; {} if the figure is no energy.
    """
    indices = [index for runs in blocks.values() for index in runs.values() if index in sources]
    n_runs = Counter(sources[index] or "unknown" for index in indices)
    if len(n_runs) <= 1:
        return None
    counts = ", ".join(f"{source}: {n} runs" for source, n in sorted(n_runs.items()))
    return f"the runs were metered by different meters ({counts}), which measure different devices"


def best_first(fit: Fit, *, lower_is_better: bool) -> list[int]:
    """Return the positions of the points, best first."""
    sign = 1 if lower_is_better else -1
    return sorted(range(len(fit.means)), key=lambda i: sign * fit.means[i])


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
