"""Issue 13: shares of the variance are type II sums of squares with the noise taken off."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from report.ranking.studies import design, grid, nested_backends

from llem_report._ranking.designs import nesting
from llem_report._ranking.shares import Shares, in_range, two_way_fit, variance_shares

if TYPE_CHECKING:
    from llem_report._ranking.designs import Floats, Ints


def residual_squares(values: Floats, table: Ints, terms: Sequence[tuple[int, ...]]) -> float:
    """Return what a least-squares fit of some terms leaves."""
    columns = [np.ones((len(values), 1))]
    for term in terms:
        keys = np.unique(table[:, list(term)], axis=0, return_inverse=True)[1].reshape(-1)
        columns.append(np.eye(keys.max() + 1)[keys])
    matrix = np.hstack(columns)
    return float(((values - matrix @ np.linalg.lstsq(matrix, values, rcond=None)[0]) ** 2).sum())


def test_two_factors_by_hand() -> None:
    # Main effects of 2 and 1; the interaction adds 0.5 at two of four points.
    table = np.vstack([grid(2, 2)] * 1)
    study = design(np.column_stack([np.vstack([table, table]), [0] * 4 + [1] * 4]))
    values = 2.0 * study.levels[:, 0] + 1.0 * study.levels[:, 1]
    fit = two_way_fit(values, study, nesting(study))
    assert fit is not None
    assert fit.squares[0,] == pytest.approx(8 * 1.0)
    assert fit.squares[1,] == pytest.approx(8 * 0.25)
    assert fit.total_squares == pytest.approx(10.0)
    shares = variance_shares(fit, 3, noise=0.0)
    assert isinstance(shares, Shares)
    assert shares.factors == pytest.approx([0.8, 0.2, 0.0], abs=1e-12)


@pytest.mark.parametrize("n_points", [60, 45])
def test_sums_of_squares_are_those_of_nested_least_squares_fits(n_points: int) -> None:
    rng = np.random.default_rng(n_points)
    table = grid(5, 4, 3)[np.sort(rng.permutation(60)[:n_points])]
    values = rng.normal(size=n_points)
    study = design(table)
    fit = two_way_fit(values, study, nesting(study))
    assert fit is not None
    terms = [(f,) for f in range(3)] + list(combinations(range(3), 2))
    for term in terms:
        base = [other for other in terms if not set(term) <= set(other)]
        expected = residual_squares(values, table, base) - residual_squares(
            values, table, [*base, term]
        )
        assert fit.squares[term] == pytest.approx(expected, rel=1e-9)
    assert fit.residual_squares == pytest.approx(residual_squares(values, table, terms))


def test_all_shares_of_a_full_grid_make_one() -> None:
    study = design(grid(3, 3, 3))
    values = np.random.default_rng(7).normal(size=27)
    fit = two_way_fit(values, study, nesting(study))
    assert fit is not None
    shares = variance_shares(fit, 3, noise=0.1)
    assert isinstance(shares, Shares)
    assert shares.not_attributable == pytest.approx(0.0, abs=1e-12)
    assert shares.factors.sum() + shares.three_and_more == pytest.approx(1.0)


def test_an_interaction_is_shared_by_both_factors() -> None:
    study = design(grid(2, 2, 2))
    signs = 2.0 * study.levels - 1
    fit = two_way_fit(signs[:, 0] * signs[:, 1], study, nesting(study))
    assert fit is not None
    shares = variance_shares(fit, 3, noise=0.0)
    assert isinstance(shares, Shares)
    assert shares.factors == pytest.approx([0.5, 0.5, 0.0], abs=1e-12)


def test_nested_factors_have_their_share_within_their_backend() -> None:
    study = design(nested_backends())
    values = 0.5 * study.levels[:, 0] + 0.3 * np.maximum(study.levels[:, 1], 0)
    fit = two_way_fit(values, study, nesting(study))
    assert fit is not None
    within = 0.3**2 * 4  # levels -0.3, 0, 0.3 around their mean, two points each
    assert fit.squares[1,] == pytest.approx(within)
    # Mean of backend 0: 0.3; of backend 1: 0.5.
    assert fit.squares[0,] == pytest.approx(12 * 0.1**2)
    assert fit.total_squares == pytest.approx(within + 12 * 0.1**2)
    shares = variance_shares(fit, 4, noise=0.0)
    assert isinstance(shares, Shares)
    assert shares.not_attributable == pytest.approx(0.0, abs=1e-12)


def test_two_factors_have_shares_though_their_interaction_fits_every_point() -> None:
    study = design(grid(3, 2))
    fit = two_way_fit(np.arange(6.0) ** 2, study, nesting(study))
    assert fit is not None
    shares = variance_shares(fit, 2, noise=0.0)
    assert isinstance(shares, Shares)
    assert shares.factors.sum() == pytest.approx(1.0)
    assert shares.three_and_more == pytest.approx(0.0, abs=1e-12)


def test_more_parameters_than_points_give_no_sums_of_squares() -> None:
    study = design(grid(3, 3, 3)[::2])  # 19 parameters, 14 points
    assert two_way_fit(np.arange(14.0), study, nesting(study)) is None


def test_too_many_holes_give_no_shares() -> None:
    # Two factors that almost always change together: what they share belongs to neither.
    pairs = [(i, i) for i in range(4)] + [(i, (i + 1) % 4) for i in range(4)]
    table = [(*pair, last) for pair in pairs for last in range(10)]
    study = design(table)
    values = 1.0 * study.levels[:, 0] + 1.0 * study.levels[:, 1]
    fit = two_way_fit(values, study, nesting(study))
    assert fit is not None
    reason = variance_shares(fit, 3, noise=0.0)
    assert isinstance(reason, str)
    assert "cannot be attributed" in reason


@pytest.mark.parametrize(("noise", "is_known"), [(0.0003, True), (0.01, False)])
def test_a_share_above_100_percent_is_not_known(noise: float, is_known: bool) -> None:
    study = design(grid(2, 2))
    fit = two_way_fit(0.5 * study.levels[:, 0].astype(np.float64), study, nesting(study))
    assert fit is not None
    # The other terms have nothing, and their noise is taken off all the same.
    shares = variance_shares(fit, 2, noise)
    if is_known:
        assert isinstance(shares, Shares)
        assert 1 < shares.terms[0,] < 1.005
        assert in_range(shares.terms[0,]) == 1
        assert in_range(shares.terms[1,]) == 0
    else:
        assert isinstance(shares, str)
        assert "one part would have 1" in shares


def test_noise_is_taken_off() -> None:
    rng = np.random.default_rng(8)
    study = design(grid(4, 4, 4))
    total = np.zeros(3)
    for _ in range(100):
        values = 0.5 * study.levels[:, 0] + rng.normal(size=64) * 0.05
        fit = two_way_fit(values, study, nesting(study))
        assert fit is not None
        shares = variance_shares(fit, 3, noise=0.0025)
        assert isinstance(shares, Shares)
        total += shares.factors
    assert total / 100 == pytest.approx([1.0, 0.0, 0.0], abs=0.003)
