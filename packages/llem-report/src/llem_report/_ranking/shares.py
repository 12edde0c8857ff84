"""Shares of the variance of the point means: main effects, two-way interactions, and the rest."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from llem_report._ranking.designs import Bools, Design, Floats

_DEPENDENT = 1e-8  # a column of 0 and 1 with a smaller part of its own depends on the others
_BLOCK = 64  # columns; larger blocks spend longer on singular values than they save
_ROUNDING = 1e-12  # logarithms that differ by less differ only by rounding
_MAX_NOT_ATTRIBUTABLE = 0.2
_MAX_SHARE = 1.005
"""The largest share that is rounded to 100 %."""

Term = tuple[int, ...]  # one factor for a main effect, two for an interaction


class TwoWayFit(NamedTuple):
    """Sums of squares of the point means, type II, with all main effects and two-way terms."""

    squares: dict[Term, float]
    """Gain of each term over all terms that neither contain it nor are nested in it."""
    df: dict[Term, int]
    residual_squares: float
    residual_df: int
    total_squares: float
    """Around the mean."""
    n_points: int


class Shares(NamedTuple):
    """Shares of the variance, from 0 to 1; a share can be negative by noise or by holes."""

    factors: Floats
    """Shape (K,): main effect and half of the two-way interactions of each factor."""
    terms: dict[Term, float]
    """Of each main effect and each two-way interaction by itself."""
    three_and_more: float
    not_attributable: float


def two_way_fit(means: Floats, design: Design, nested: Bools) -> TwoWayFit | None:
    """Return the type II sums of squares, or None if there are more parameters than points.

    Args:
        means: shape (P,), logarithms.
        design: the levels of the P points.
        nested: shape (K, K), from `nesting`.

    Source: type II sums of squares, as in Langsrud, ANOVA for unbalanced data: use type II instead
    of type III sums of squares, Statistics and Computing 13 (2003).
    """
    import numpy as np

    n_points, n_factors = design.levels.shape
    if n_parameters(design, nested) > n_points:
        return None
    values = means - means.mean()
    columns: dict[Term, Floats] = {(f,): _columns(design, f) for f in range(n_factors)}
    for f, g in combinations(range(n_factors), 2):
        if nested[f, g] or nested[g, f]:
            continue  # the main effect of the nested one has it all
        products = columns[f,][:, :, None] * columns[g,][:, None, :]
        flat = products.reshape(n_points, -1)
        columns[f, g] = flat[:, flat.any(axis=0)]
    full: Floats = _extended(np.full((n_points, 1), n_points**-0.5), columns, list(columns))
    # All that follows happens in the span of all terms, which has fewer dimensions than points.
    columns = {term: full.T @ its_columns for term, its_columns in columns.items()}
    inside = full.T @ values
    constant = full.T @ np.full((n_points, 1), n_points**-0.5)
    gains: dict[Term, tuple[float, int]] = {}
    plain: list[Term] = []
    for term in columns:
        base = [other for other in columns if not _contains(other, term, nested)]
        if len(term) == 2 and len(base) == len(columns) - 1:
            plain.append(term)  # only the term itself is left out
        else:
            gains[term] = _gain(inside, _extended(constant, columns, base), columns[term])
    others = [term for term in columns if term not in plain]
    for term, basis in _leave_one_out(_extended(constant, columns, others), columns, plain):
        gains[term] = _gain(inside, basis, columns[term])
    return TwoWayFit(
        squares={term: gains[term][0] for term in columns},
        df={term: gains[term][1] for term in columns},
        residual_squares=float(((values - full @ (full.T @ values)) ** 2).sum()),
        residual_df=n_points - full.shape[1],
        total_squares=float((values**2).sum()),
        n_points=n_points,
    )


def n_parameters(design: Design, nested: Bools) -> int:
    """Return how many parameters main effects and two-way interactions have, without holes."""
    import numpy as np

    exists = design.levels >= 0
    n_free = [len(np.unique(column[column >= 0])) - 1 for column in design.levels.T]
    return (
        1
        + sum(n_free)
        + sum(
            n_free[f] * n_free[g]
            for f, g in combinations(range(len(n_free)), 2)
            if not (nested[f, g] or nested[g, f]) and (exists[:, f] & exists[:, g]).any()
        )
    )


def variance_shares(fit: TwoWayFit, n_factors: int, noise: float) -> Shares | str:
    """Return the shares of the variance with the noise taken off, or why there are none.

    Args:
        fit: sums of squares of the point means.
        n_factors: K.
        noise: variance of a point mean, averaged over the points.
    """
    import numpy as np

    total = fit.total_squares - (fit.n_points - 1) * noise
    if total <= _ROUNDING**2 * fit.n_points:
        return "the points differ no more than their runs"
    net = {term: fit.squares[term] - fit.df[term] * noise for term in fit.squares}
    terms = {term: squares / total for term, squares in net.items()}
    factors = np.zeros(n_factors)
    for term, share in terms.items():
        factors[list(term)] += share / len(term)
    rest = (fit.residual_squares - fit.residual_df * noise) / total
    not_attributable = 1 - sum(terms.values()) - rest
    if abs(not_attributable) > _MAX_NOT_ATTRIBUTABLE:
        return (
            f"{abs(not_attributable):.0%} of the variance cannot be attributed, because too many "
            "combinations of levels are missing"
        )
    # Noise that is estimated too high makes the total too small, and with it every share too large.
    largest = max(*factors.tolist(), *terms.values(), rest)
    if largest > _MAX_SHARE:
        return (
            f"one part would have {largest:.0%} of the variance, because the runs are too few to know "
            "how much of it is noise; run more cycles"
        )
    return Shares(factors, terms, rest, not_attributable)


def in_range(share: float) -> float:
    """Return a share from 0 to 1; noise and rounding take it a little beyond."""
    return min(max(float(share), 0.0), 1.0)


def _columns(design: Design, f: int) -> Floats:
    """Return one column of 0 and 1 for each level that occurs; shape (P, L)."""
    import numpy as np

    level = design.levels[:, f]
    columns: Floats = (level[:, None] == np.unique(level[level >= 0])).astype(float)
    return columns


def _contains(other: Term, term: Term, nested: Bools) -> bool:
    """Return whether `other` is `term`, contains it or is nested in it.

    Such a term explains what `term` explains, so `term` must not be adjusted for it.
    """
    return all(any(g == f or nested[g, f] for g in other) for f in term)


def _extended(basis: Floats, columns: dict[Term, Floats], terms: list[Term]) -> Floats:
    """Return an orthonormal basis of the span of `basis` and of the columns of some terms."""
    import numpy as np

    if not terms:
        return basis
    added = np.hstack([columns[term] for term in terms])
    for start in range(0, added.shape[1], _BLOCK):
        basis = np.hstack([basis, _new_directions(basis, added[:, start : start + _BLOCK])])
    return basis


def _new_directions(basis: Floats, columns: Floats) -> Floats:
    """Return an orthonormal basis of what the columns add to the span of `basis`."""
    import numpy as np

    rest = columns - basis @ (basis.T @ columns)
    directions, sizes, _ = np.linalg.svd(rest, full_matrices=False)
    directions = directions[:, sizes > _DEPENDENT]
    # A direction that was short before it was scaled has a rounding error along the basis.
    directions = directions - basis @ (basis.T @ directions)
    orthonormal: Floats = np.linalg.qr(directions)[0]
    return orthonormal


def _gain(values: Floats, basis: Floats, columns: Floats) -> tuple[float, int]:
    """Return the sum of squares that columns explain beyond a basis, and its df."""
    directions = _new_directions(basis, columns)
    return float(((directions.T @ values) ** 2).sum()), directions.shape[1]


def _leave_one_out(
    basis: Floats, columns: dict[Term, Floats], terms: list[Term]
) -> Iterator[tuple[Term, Floats]]:
    """Yield each term with a basis of all terms but that one.

    Halving the terms needs a number of extensions that grows with n log n instead of n**2.
    """
    if len(terms) == 1:
        yield terms[0], basis
    elif terms:
        half = len(terms) // 2
        for kept, rest in ((terms[half:], terms[:half]), (terms[:half], terms[half:])):
            yield from _leave_one_out(_extended(basis, columns, kept), columns, rest)
