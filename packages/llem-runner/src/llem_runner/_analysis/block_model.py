"""Fit runs as point plus block by least squares, with any runs missing.

Numpy is imported where it is used, since a study whose blocks are complete does not need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]


class BlockFit(NamedTuple):
    """The points of a study with the block effects removed.

    P points, B blocks, N runs; all figures are logarithms.
    """

    means: Floats
    """Shape (P,): the mean of each point. Only differences within a part have a meaning."""
    n_runs: Ints
    """Shape (P,)."""
    squares: Floats
    """Shape (P,): sum of squares of the residuals of each point."""
    point_df: Floats
    """Shape (P,): degrees of freedom of `squares`, fractions included; their sum is `df`."""
    residuals: Floats
    """Shape (N,)."""
    effects: Floats
    """Shape (B,): the effect of each block; that of the last block of each part is 0."""
    df: int
    """Degrees of freedom of all residuals."""
    part: Ints
    """Shape (P,): points with the same number are connected by blocks that they share."""
    point: Ints
    """Shape (N,): the point of each run."""
    block: Ints
    """Shape (N,): the block of each run."""
    block_covariance: Floats
    """Shape (B, B): covariance of the block effects, for a variance of 1 of a run."""
    level_variance: Floats
    """Shape (P,): variance of the mean effect of the blocks of each point, likewise."""

    @property
    def incidence(self) -> Floats:
        """Return the number of runs of each point in each block, shape (P, B)."""
        import numpy as np

        incidence = np.zeros((len(self.n_runs), len(self.effects)))
        np.add.at(incidence, (self.point, self.block), 1.0)
        return incidence


def fit_blocks(values: Floats, point: Ints, block: Ints) -> BlockFit:
    """Return the least-squares fit of point + block.

    The points are eliminated, so that one equation per block remains. The last block of each
    connected part has the effect 0. A pseudo-inverse with a cut-off would be wrong here: with many
    points it can take a small singular value for zero.

    Args:
        values: shape (N,), the logarithm of the figure of each run.
        point: shape (N,), the point of each run, 0 to P-1; every point has a run.
        block: shape (N,), the block of each run, 0 to B-1; every block has a run.

    Source: intrablock analysis of incomplete block designs, found in textbooks on the design of
    experiments.
    """
    import numpy as np

    n_points, n_blocks = int(point.max()) + 1, int(block.max()) + 1
    n_runs = np.bincount(point, minlength=n_points)
    plain_means = np.bincount(point, weights=values, minlength=n_points) / n_runs
    pairs = pairs_within(point)
    coupling = block_coupling(point, block, pairs, n_blocks)
    equations = np.diag(np.bincount(block, minlength=n_blocks)) - coupling
    block_part = connected(coupling > 0)
    n_parts = int(block_part.max()) + 1
    free = [b for b in range(n_blocks) if b != np.flatnonzero(block_part == block_part[b])[-1]]
    covariance = np.zeros((n_blocks, n_blocks))
    if free:
        covariance[np.ix_(free, free)] = np.linalg.inv(equations[np.ix_(free, free)])
    deviations = values - plain_means[point]
    effects = covariance @ np.bincount(block, weights=deviations, minlength=n_blocks)
    levels = np.bincount(point, weights=effects[block], minlength=n_points) / n_runs
    means = plain_means - levels
    residuals = values - means[point] - effects[block]
    # The leverage of a run is 1/n for its point, and the rest for its block: (e - s)' C (e - s),
    # with the unit vector e of the block and the shares s of the point.
    between = covariance[block[pairs.first], block[pairs.second]]
    with_point = np.bincount(pairs.first, weights=between, minlength=len(values)) / n_runs[point]
    level_variance = np.bincount(point, weights=with_point, minlength=n_points) / n_runs
    leverages = covariance[block, block] - 2 * with_point + level_variance[point]
    used = np.bincount(point, weights=leverages, minlength=n_points).astype(np.float64)
    part = np.zeros(n_points, dtype=np.int64)
    part[point] = block_part[block]
    return BlockFit(
        means=means,
        n_runs=n_runs,
        squares=np.bincount(point, weights=residuals**2, minlength=n_points).astype(np.float64),
        point_df=n_runs - 1 - used,
        residuals=residuals,
        effects=effects,
        df=len(values) - n_points - n_blocks + n_parts,
        part=part,
        point=point,
        block=block,
        block_covariance=covariance,
        level_variance=level_variance,
    )


class Pairs(NamedTuple):
    """Pairs of runs, by their positions."""

    first: Ints
    second: Ints


def pairs_within(point: Ints) -> Pairs:
    """Return all pairs of runs of the same point, in both orders and of a run with itself.

    They are few where a table of points and blocks would be large and almost empty.
    """
    import numpy as np

    order = np.argsort(point, kind="stable")
    n_runs = np.bincount(point)
    n_partners = n_runs[point[order]]
    begin = (np.cumsum(n_runs) - n_runs)[point[order]]
    within = np.arange(n_partners.sum()) - np.repeat(np.cumsum(n_partners) - n_partners, n_partners)
    return Pairs(np.repeat(order, n_partners), order[np.repeat(begin, n_partners) + within])


def block_coupling(point: Ints, block: Ints, pairs: Pairs, n_blocks: int) -> Floats:
    """Return by how much the points couple each two blocks, shape (B, B): the sum of 1/n_runs."""
    import numpy as np

    weights = 1 / np.bincount(point)[point[pairs.first]]
    places = block[pairs.first] * n_blocks + block[pairs.second]
    coupling = np.bincount(places, weights=weights, minlength=n_blocks**2).astype(np.float64)
    return coupling.reshape(n_blocks, n_blocks)


def run_weights(fit: BlockFit, contrasts: Floats) -> Floats:
    """Return by how much the noise of the runs of each point enters each contrast.

    With the blocks complete this is k**2 / n. Otherwise it also holds the uncertainty of the block
    effects.

    Args:
        fit: the fitted runs.
        contrasts: shape (M, P), the weights k of the point means; each row sums to 0 in each part.

    Returns:
        Shape (M, P): sum of the squared weights of the runs of each point. The variance of a
        contrast is the sum over the points of this times the variance of a run of the point.
    """
    incidence = fit.incidence
    shares = incidence / fit.n_runs[:, None]
    by_block = (contrasts @ shares) @ fit.block_covariance
    between: Floats = by_block**2 @ incidence.T - (by_block @ shares.T) ** 2 * fit.n_runs
    return contrasts**2 / fit.n_runs + between


def connected(neighbours: Bools) -> Ints:
    """Return the number of the connected part of each node, from 0; shape (B, B) to (B,)."""
    import numpy as np

    part = np.full(len(neighbours), -1)
    n_parts = 0
    for start in range(len(neighbours)):
        if part[start] >= 0:
            continue
        reached = np.zeros(len(neighbours), dtype=bool)
        reached[start] = True
        while not np.array_equal(wider := reached | neighbours[reached].any(axis=0), reached):
            reached = wider
        part[reached] = n_parts
        n_parts += 1
    return part
