"""How often equal points look different when their runs are spread over unequal nodes."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from enum import Enum
from typing import Any

from llem_runner._analysis.incomplete_blocks import IncompleteBlockComparison
from llem_runner._analysis.incomplete_spreads import BlockRun
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
    return _compared(runs)


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
        fit = fit_blocks(*_columns(runs))
        pairs = np.eye(len(fit.means))[:1] - np.eye(len(fit.means))[1:]
        variances = run_weights(fit, pairs).sum(axis=1)
        shares.append(2 / n_cycles / float(variances.mean()))
    return statistics.fmean(shares)


def _compared(runs: list[BlockRun]) -> list[BlockRun]:
    """Return the runs that the comparison would use, with points and blocks numbered on.

    Runs that are alone in their block are left out, points with less than half as many runs as others,
    and points that no shared block connects with the largest part.
    """
    sizes = Counter(run.block for run in runs)
    runs = [run for run in runs if sizes[run.block] > 1]
    n_runs = Counter(run.point for run in runs)
    runs = _numbered([run for run in runs if 2 * n_runs[run.point] >= max(n_runs.values())])
    part = fit_blocks(*_columns(runs)).part
    largest = Counter(part.tolist()).most_common(1)[0][0]
    return _numbered([run for run in runs if part[run.point] == largest])


def _numbered(runs: list[BlockRun]) -> list[BlockRun]:
    points = {point: n for n, point in enumerate(sorted({run.point for run in runs}))}
    blocks = {block: n for n, block in enumerate(sorted({run.block for run in runs}))}
    return [run._replace(point=points[run.point], block=blocks[run.block]) for run in runs]


def _columns(runs: list[BlockRun]) -> tuple[Any, Any, Any]:
    """Return logarithms, points and blocks as arrays."""
    import numpy as np

    return (
        np.array([run.log for run in runs]),
        np.array([run.point for run in runs]),
        np.array([run.block for run in runs]),
    )


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
        n_compared = len(fit.means)
        best = min(range(n_compared), key=fit.means.__getitem__)
        n_false += any(
            fit.means[point] - fit.means[best] > fit.half_width(point, best)
            for point in range(n_compared)
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
