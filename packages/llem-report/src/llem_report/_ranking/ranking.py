"""The arithmetic of a ranking, from the runs of a study to ranges, ranks, shares and dependences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from llem_report._ranking.contexts import Cells, LevelWeights, cells_of, level_weights
from llem_report._ranking.contrasts import ErrorModel, error_from_interactions, error_from_runs
from llem_report._ranking.dependences import Dependences, find_dependences
from llem_report._ranking.designs import nesting
from llem_report._ranking.effects import Pairs, Range, all_pairs, range_of, rank_sets
from llem_report._ranking.shares import Shares, TwoWayFit, two_way_fit, variance_shares
from llem_runner.block_model import BlockFit, fit_blocks

if TYPE_CHECKING:
    from llem_report._ranking.designs import Bools, Design, Floats, Ints

MIN_INTERACTION_DF = 8

ErrorSource = Literal["runs", "interactions", "none"]


class Ranking(NamedTuple):
    """What the runs say about K factors."""

    fit: BlockFit
    alpha: float
    """Share of studies in which an interval of a family may be wrong."""
    nested: Bools
    errors: ErrorModel | None
    """None if the study allows no intervals."""
    cells: list[Cells]
    """Of each factor, like the next four."""
    levels: list[LevelWeights]
    pairs: list[Pairs]
    ranges: list[Range | None]
    ranks: list[tuple[int, int] | None]
    """None without intervals, or without levels that can be compared."""
    shares: Shares | str
    """Or why there are none."""
    dependences: Dependences


def rank_factors(
    values: Floats,
    point: Ints,
    block: Ints,
    design: Design,
    source: ErrorSource,
    alpha: float = 0.05,
) -> Ranking:
    """Return how much each factor matters.

    Args:
        values: shape (N,), the logarithm of the figure of each run.
        point: shape (N,), the point of each run, 0 to P-1; every point has a run.
        block: shape (N,), the block of each run, 0 to B-1; every block has a run.
        design: the levels of the P points.
        source: where the errors come from: the spread of the runs of a point over the blocks; what
            two-way interactions leave unexplained; or nowhere, which gives ratios only.
        alpha: share of studies in which an interval of a family may be wrong.
    """
    fit = fit_blocks(values, point, block)
    nested = nesting(design)
    n_factors = len(design.keys)
    two_way = two_way_fit(fit.means, design, nested) if fit.part.max() == 0 else None
    errors = _errors(fit, design, two_way, source)
    cells = [cells_of(design, f, nested, fit.part) for f in range(n_factors)]
    levels = [level_weights(each) for each in cells]
    pairs = all_pairs(fit, errors, levels, alpha)
    ranges = [range_of(each) for each in pairs]
    return Ranking(
        fit=fit,
        alpha=alpha,
        nested=nested,
        errors=errors,
        cells=cells,
        levels=levels,
        pairs=pairs,
        ranges=ranges,
        ranks=rank_sets(ranges) if errors is not None else [None] * n_factors,
        shares=_shares(fit, errors, two_way, n_factors),
        dependences=(
            find_dependences(fit, errors, cells, alpha)
            if errors is not None
            else Dependences([], None)
        ),
    )


def _errors(
    fit: BlockFit, design: Design, two_way: TwoWayFit | None, source: ErrorSource
) -> ErrorModel | None:
    if source == "runs" and fit.df > 0:
        return error_from_runs(fit, design)
    if (
        source == "interactions"
        and two_way is not None
        and two_way.residual_df >= MIN_INTERACTION_DF
    ):
        return error_from_interactions(fit, two_way.residual_squares, two_way.residual_df)
    return None


def _shares(
    fit: BlockFit, errors: ErrorModel | None, two_way: TwoWayFit | None, n_factors: int
) -> Shares | str:
    if fit.part.max() > 0:
        return "some points share no cycle with the others"
    if two_way is None:
        return "main effects and two-way interactions have more parameters than there are points"
    if errors is None:
        return "the noise is not known"
    noise = float((errors.variance / fit.n_runs).mean())
    return variance_shares(two_way, n_factors, noise)
