"""Issue 13: runs are fitted as point + cycle, with any runs missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report.ranking.studies import runs_of, without

from llem_runner._analysis.block_model import fit_blocks, run_weights

if TYPE_CHECKING:
    from llem_report._ranking.designs import Floats, Ints


def by_brute_force(values: Floats, point: Ints, block: Ints) -> tuple[Floats, Floats]:
    """Return the design matrix of point + block, and the fitted values of the runs."""
    columns = np.hstack([np.eye(point.max() + 1)[point], np.eye(block.max() + 1)[block]])
    return columns, columns @ np.linalg.lstsq(columns, values, rcond=None)[0]


def test_a_missing_run_is_corrected_for_its_cycle() -> None:
    # Cycle 1 is higher by 1. Point 1 lacks it, so its plain mean is too low.
    fit = fit_blocks(
        np.array([0.0, 1.0, 2.0, 3.0, 5.0]), np.array([0, 0, 1, 2, 2]), np.array([0, 1, 0, 0, 1])
    )
    # The cycles differ by 1 at point 0 and by 2 at point 2: 1.5 on average.
    assert fit.means[0] - fit.means[1] == pytest.approx(0.5 - (2.0 + 0.75))
    assert fit.means[2] - fit.means[0] == pytest.approx(3.5)
    assert fit.df == 1
    assert fit.squares == pytest.approx([0.125, 0.0, 0.125])
    assert fit.point_df == pytest.approx([0.5, 0.0, 0.5])


def test_fit_equals_least_squares_with_holes() -> None:
    rng = np.random.default_rng(1)
    runs = runs_of(rng.normal(size=9), 4, rng.normal(size=(4, 9)))
    values, point, block = without(runs, rng.random(36) < 0.3)
    fit = fit_blocks(values, point, block)
    columns, fitted = by_brute_force(values, point, block)
    assert fit.residuals == pytest.approx(values - fitted, abs=1e-12)
    assert fit.df == len(values) - np.linalg.matrix_rank(columns)
    assert fit.point_df.sum() == pytest.approx(fit.df)


def test_variance_of_a_contrast_holds_the_uncertainty_of_the_cycles() -> None:
    rng = np.random.default_rng(2)
    runs = runs_of(rng.normal(size=6), 3, rng.normal(size=(3, 6)))
    values, point, block = without(runs, rng.random(18) < 0.3)
    fit = fit_blocks(values, point, block)
    contrast = np.array([[1.0, -1.0, 0.0, 0.5, -0.5, 0.0]])
    columns, _ = by_brute_force(values, point, block)
    by_run = np.linalg.pinv(columns)[:6].T @ contrast[0]  # the contrast as weights of the runs
    assert contrast[0] @ fit.means == pytest.approx(by_run @ values)
    expected = np.bincount(point, weights=by_run**2)
    assert run_weights(fit, contrast)[0] == pytest.approx(expected)


def test_complete_cycles_give_the_plain_means() -> None:
    rng = np.random.default_rng(3)
    values, point, block = runs_of(np.arange(4.0), 3, rng.normal(size=(3, 4)))
    fit = fit_blocks(values, point, block)
    plain = values.reshape(3, 4).mean(axis=0)
    assert np.diff(fit.means) == pytest.approx(np.diff(plain))
    contrast = np.array([[1.0, -1.0, 0.0, 0.0]])
    assert run_weights(fit, contrast)[0] == pytest.approx([1 / 3, 1 / 3, 0, 0])


def test_points_that_share_no_cycle_are_in_different_parts() -> None:
    point, block = np.array([0, 0, 1, 1, 2, 3, 2, 3]), np.array([0, 1, 0, 1, 2, 2, 3, 3])
    fit = fit_blocks(np.arange(8.0), point, block)
    assert fit.part[0] == fit.part[1] != fit.part[2] == fit.part[3]
    assert fit.df == 8 - 4 - 4 + 2


def test_a_thousand_points_have_finite_effects() -> None:
    rng = np.random.default_rng(4)
    runs = runs_of(np.zeros(1000), 5, rng.normal(size=(5, 1000)) + np.arange(5.0)[:, None])
    values, point, block = without(runs, rng.random(5000) < 0.05)
    fit = fit_blocks(values, point, block)
    assert abs(fit.means - fit.means.mean()).max() < 4
    assert fit.df == len(values) - 1000 - 4


def test_equal_runs_have_no_residuals() -> None:
    values, point, block = runs_of(np.zeros(3), 3, np.zeros((3, 3)))
    fit = fit_blocks(values, point, block)
    assert fit.squares.tolist() == [0, 0, 0]


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 9), st.floats(0.1, 1.0), st.integers(0, 2**32 - 1))
def test_the_fit_of_any_design_is_that_of_dense_matrices(
    n_points: int, n_blocks: int, share: float, seed: int
) -> None:
    """The fit keeps no table of points and blocks; here everything is computed with whole ones."""
    rng = np.random.default_rng(seed)
    point, block = np.nonzero(rng.random((n_points, n_blocks)) < share)
    if not len(point):
        point, block = np.array([0]), np.array([0])
    order = rng.permutation(len(point))  # the order of the runs does not matter
    point, block = (np.unique(each[order], return_inverse=True)[1] for each in (point, block))
    values = rng.normal(size=len(point))
    fit = fit_blocks(values, point, block)
    columns, fitted = by_brute_force(values, point, block)
    inverse = np.linalg.pinv(columns.T @ columns, rcond=1e-10)
    leverages = np.diag(columns @ inverse @ columns.T)
    n_runs = np.bincount(point)
    assert fit.residuals == pytest.approx(values - fitted, abs=1e-9)
    assert fit.squares == pytest.approx(np.bincount(point, (values - fitted) ** 2), abs=1e-9)
    assert fit.point_df == pytest.approx(n_runs - np.bincount(point, leverages), abs=1e-9)
    assert fit.df == len(values) - np.linalg.matrix_rank(columns)
    # Differences of points that blocks connect, and their variances.
    shares = fit.incidence / n_runs[:, None]
    of_levels = shares @ fit.block_covariance @ shares.T
    assert fit.level_variance == pytest.approx(np.diag(of_levels), abs=1e-9)
    covariance = np.diag(1 / n_runs) + of_levels
    for i, j in zip(*np.nonzero(fit.part[:, None] == fit.part), strict=True):
        contrast = np.zeros(columns.shape[1])
        contrast[i] += 1
        contrast[j] -= 1
        dense = contrast @ inverse @ columns.T @ values
        assert fit.means[i] - fit.means[j] == pytest.approx(dense, abs=1e-9)
        variance = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
        assert variance == pytest.approx(contrast @ inverse @ contrast, abs=1e-9)
