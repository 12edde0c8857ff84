"""How often equal points look different when their runs are spread over unequal nodes."""

from __future__ import annotations

import math
import random
import statistics
from enum import Enum

from llem_runner._analysis.incomplete_blocks import BlockRun, IncompleteBlockComparison
from llem_runner.block_model import fit_blocks, run_weights

_RUN_SD = 0.01
_INTERACTION_SD = 0.01


class Design(Enum):
    """Which runs share a node and a stretch of time, and so a block."""

    CYCLES = "each cycle on one node"
    SHARDS = "each cycle cut at random into shards, each on one node"
    CUT = "each shard cut once, and continued on another node"
    INTERACTION = "as shards, and nodes change points by different 1 %"
    FIXED = "each point always on the same node (refused by plan_shards)"


def simulate(
    design: Design, n_points: int, n_cycles: int, n_shards: int, rng: random.Random, node_sd: float
) -> list[BlockRun]:
    """Return the runs of a study of equal points; every block has a node of its own."""
    if design is Design.FIXED:
        return _on_fixed_nodes(n_points, n_cycles, n_shards, rng, node_sd)
    runs: list[BlockRun] = []
    n_blocks = 0
    for _ in range(n_cycles):
        order = rng.sample(range(n_points), n_points)
        parts = 1 if design is Design.CYCLES else n_shards
        shards = [order[part::parts] for part in range(parts)]
        if design is Design.CUT:
            cuts = [rng.randint(1, len(shard) - 1) for shard in shards]
            shards = [
                piece
                for shard, at in zip(shards, cuts, strict=True)
                for piece in (shard[:at], shard[at:])
            ]
        for shard in shards:
            node = rng.gauss(0, node_sd)
            sd = math.hypot(_RUN_SD, _INTERACTION_SD * (design is Design.INTERACTION))
            runs += [BlockRun(p, n_blocks, node + rng.gauss(0, sd)) for p in shard]
            n_blocks += 1
    return _without_single_runs(runs)


def _on_fixed_nodes(
    n_points: int, n_cycles: int, n_nodes: int, rng: random.Random, node_sd: float
) -> list[BlockRun]:
    """Return the runs of points that stay on one node each; a block is then a cycle."""
    nodes = [rng.gauss(0, node_sd) for _ in range(n_nodes)]
    return [
        BlockRun(point, cycle, nodes[point % n_nodes] + rng.gauss(0, _RUN_SD))
        for cycle in range(n_cycles)
        for point in range(n_points)
    ]


def efficiency(
    design: Design, n_points: int, n_cycles: int, n_shards: int, *, trials: int, seed: int = 1
) -> float:
    """Return the variance of a difference with complete blocks over that of this design; mean."""
    import numpy as np

    shares = []
    for trial in range(trials):
        runs = simulate(design, n_points, n_cycles, n_shards, random.Random(seed + trial), 0.03)
        point, block = np.array([r.point for r in runs]), np.array([r.block for r in runs])
        fit = fit_blocks(np.array([r.log for r in runs]), point, block)
        pairs = np.eye(n_points)[:1] - np.eye(n_points)[1:]
        variances = run_weights(fit, pairs).sum(axis=1)
        shares.append(2 / n_cycles / float(variances.mean()))
    return statistics.fmean(shares)


def _without_single_runs(runs: list[BlockRun]) -> list[BlockRun]:
    """Drop runs that are alone in their block, as the comparison does, and number the rest on."""
    sizes: dict[int, int] = {}
    for run in runs:
        sizes[run.block] = sizes.get(run.block, 0) + 1
    number = {block: n for n, block in enumerate(b for b, size in sizes.items() if size > 1)}
    return [run._replace(block=number[run.block]) for run in runs if run.block in number]


def false_winners(
    design: Design,
    n_points: int,
    n_cycles: int,
    n_shards: int,
    *,
    trials: int,
    node_sd: float = 0.03,
    seed: int = 1,
) -> float:
    """Return the share of studies in which an equal point differs from the best one."""
    rng = random.Random(seed)
    n_false = 0
    for _ in range(trials):
        runs = simulate(design, n_points, n_cycles, n_shards, rng, node_sd)
        fit = IncompleteBlockComparison(runs, 0.05)
        best = min(range(n_points), key=fit.means.__getitem__)
        n_false += any(
            fit.means[point] - fit.means[best] > fit.half_width(point, best)
            for point in range(n_points)
            if point != best
        )
    return n_false / trials


def half_width_ratio(
    design: Design, n_points: int, n_cycles: int, n_shards: int, *, trials: int, seed: int = 1
) -> float:
    """Return how much wider the usual interval is than with each cycle on one node; geometric mean."""
    logs = []
    for trial in range(trials):
        widths = [
            IncompleteBlockComparison(
                simulate(each, n_points, n_cycles, n_shards, random.Random(seed + trial), 0.03),
                0.05,
            ).usual_half_width
            for each in (design, Design.CYCLES)
        ]
        logs.append(math.log(widths[0] / widths[1]))
    return math.exp(statistics.fmean(logs))
