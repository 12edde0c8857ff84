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
    incidence: Floats
    """Shape (P, B): number of runs of each point in each block."""
    block_covariance: Floats
    """Shape (B, B): covariance of the block effects, for a variance of 1 of a run."""


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
    incidence = np.zeros((n_points, n_blocks))
    np.add.at(incidence, (point, block), 1.0)
    n_runs = incidence.sum(axis=1)
    plain_means = np.bincount(point, weights=values, minlength=n_points) / n_runs
    shares = incidence / n_runs[:, None]
    equations = np.diag(incidence.sum(axis=0)) - incidence.T @ shares
    block_part = connected(incidence.T @ incidence > 0)
    n_parts = int(block_part.max()) + 1
    free = [b for b in range(n_blocks) if b != np.flatnonzero(block_part == block_part[b])[-1]]
    covariance = np.zeros((n_blocks, n_blocks))
    if free:
        covariance[np.ix_(free, free)] = np.linalg.inv(equations[np.ix_(free, free)])
    deviations = values - plain_means[point]
    effects = covariance @ np.bincount(block, weights=deviations, minlength=n_blocks)
    means = plain_means - shares @ effects
    residuals = values - means[point] - effects[block]
    # The leverage of a run is 1/n for its point, and the rest for its block: (e - s)' C (e - s),
    # with the unit vector e of the block and the shares s of the point.
    spread = shares @ covariance
    of_point = (spread * shares).sum(axis=1)
    leverages = covariance[block, block] - 2 * spread[point, block] + of_point[point]
    squares = np.zeros(n_points)
    np.add.at(squares, point, residuals**2)
    return BlockFit(
        means=means,
        n_runs=n_runs.astype(np.int64),
        squares=squares,
        point_df=n_runs - 1 - np.bincount(point, weights=leverages, minlength=n_points),
        residuals=residuals,
        effects=effects,
        df=len(values) - n_points - n_blocks + n_parts,
        part=block_part[incidence.argmax(axis=1)],
        incidence=incidence,
        block_covariance=covariance,
    )


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
    shares = fit.incidence / fit.n_runs[:, None]
    by_block = (contrasts @ shares) @ fit.block_covariance
    between: Floats = by_block**2 @ fit.incidence.T - (by_block @ shares.T) ** 2 * fit.n_runs
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
