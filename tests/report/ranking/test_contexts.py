"""Issue 13: levels are compared where all other choices are equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from report.ranking.studies import design, grid, nested_backends

from llem_report._ranking.contexts import LevelWeights, cells_of, comparable_pairs, level_weights
from llem_report._ranking.designs import determined_by, nesting

if TYPE_CHECKING:
    from llem_report._ranking.designs import Ints


def weights_of(levels: Ints | list[list[int]], f: int) -> LevelWeights:
    study = design(levels)
    part = np.zeros(len(study.levels), dtype=np.int64)
    return level_weights(cells_of(study, f, nesting(study), part))


def test_a_full_grid_gives_the_mean_of_the_paired_differences() -> None:
    levels = weights_of(grid(2, 3), 0)
    means = np.array([1.0, 2.0, 4.0, 2.0, 5.0, 6.0])
    effects = levels.weights @ means
    assert effects[1] - effects[0] == pytest.approx((1 + 3 + 2) / 3)
    assert levels.shared[0, 1] == 3
    assert levels.n_points[0, 1] == 6


def test_a_point_without_a_partner_has_no_weight() -> None:
    levels = weights_of([[0, 0], [1, 0], [0, 1]], 0)
    assert levels.weights[1] - levels.weights[0] == pytest.approx([-1, 1, 0])


def test_holes_are_least_squares_of_level_and_context() -> None:
    rng = np.random.default_rng(5)
    table = grid(4, 3, 2)[rng.permutation(24)[:15]]
    means = rng.normal(size=15)
    levels = weights_of(table, 0)
    context = np.unique(table[:, 1:], axis=0, return_inverse=True)[1].reshape(-1)
    columns = np.hstack([np.eye(4)[table[:, 0]], np.eye(context.max() + 1)[context]])
    expected = np.linalg.lstsq(columns, means, rcond=None)[0][:4]
    effects = levels.weights @ means
    a, b = comparable_pairs(levels)
    assert len(a) > 0
    assert (effects[a] - effects[b]) == pytest.approx(expected[a] - expected[b])


def test_levels_without_a_common_context_are_not_compared() -> None:
    # Levels 0 and 1 meet where f1 is 0, levels 2 and 3 where f1 is 1; level 4 meets none.
    levels = weights_of([[0, 0], [1, 0], [2, 1], [3, 1], [4, 2]], 0)
    a, b = comparable_pairs(levels)
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == [(0, 1), (2, 3)]
    assert levels.group[4] == -1


def test_levels_are_compared_through_a_third_one() -> None:
    levels = weights_of([[0, 0], [1, 0], [1, 1], [2, 1]], 0)
    effects = levels.weights @ np.array([0.0, 1.0, 5.0, 7.0])
    assert effects[2] - effects[0] == pytest.approx(3.0)
    assert levels.shared[0, 2] == 0


def test_a_nested_factor_is_averaged_in_each_context() -> None:
    table = nested_backends()
    study = design(table)
    nested = nesting(study)
    assert np.argwhere(nested).tolist() == [[1, 0], [2, 0]]
    levels = weights_of(table, 0)
    means = np.where(table[:, 0] == 1, 10.0, 0.0) + table[:, 1]  # 0 to 2, and -1 at the other
    effects = levels.weights @ means
    assert effects[1] - effects[0] == pytest.approx(9.0 - 1.0)
    assert levels.shared[0, 1] == 2  # one context for each level of f3


def test_a_nested_factor_is_compared_only_where_it_exists() -> None:
    levels = weights_of(nested_backends(), 1)
    means = np.where(nested_backends()[:, 0] == 1, 1000.0, nested_backends()[:, 1])
    effects = levels.weights @ means
    assert effects[2] - effects[0] == pytest.approx(2.0)


def test_points_that_share_no_cycle_are_never_in_one_context() -> None:
    study = design([[0], [1]])
    levels = level_weights(cells_of(study, 0, nesting(study), np.array([0, 1])))
    assert len(comparable_pairs(levels)[0]) == 0


def test_factors_that_change_together_are_found() -> None:
    study = design([[0, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1]])
    assert determined_by(study, 0) == [1]
    assert determined_by(study, 1) == [0]
    assert determined_by(study, 2) == []


def test_a_factor_that_another_one_divides_is_found() -> None:
    study = design([[0, 0], [0, 1], [1, 2]])
    assert determined_by(study, 0) == [1]
    assert determined_by(study, 1) == []
