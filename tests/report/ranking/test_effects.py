"""Issue 13: ranges with intervals that hold together, and the ranks that a factor can have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from report.ranking.studies import design, grid, nested_backends, runs_of
from scipy.special import stdtrit

from llem_report._ranking.contrasts import Contrasts, contrasts_of, error_from_runs, half_widths
from llem_report._ranking.effects import Range, rank_sets
from llem_report._ranking.ranking import rank_factors
from llem_runner.block_model import fit_blocks

if TYPE_CHECKING:
    from llem_report._ranking.designs import Design, Floats, Ints


def noisy(shape: tuple[int, int], sd: float = 0.02) -> Floats:
    return np.random.default_rng(6).normal(size=shape) * sd


def test_interval_of_two_points_in_three_cycles_is_that_of_a_paired_t_test() -> None:
    noise = np.array([[0.0, 0.0], [0.01, -0.01], [0.03, 0.0]])
    ranking = rank_factors(
        *runs_of(np.array([0.0, 0.1]), 3, noise), design([[0], [1]]), source="runs"
    )
    differences = 0.1 + noise[:, 1] - noise[:, 0]
    half = stdtrit(2, 0.975) * differences.std(ddof=1) / math.sqrt(3)
    found = ranking.ranges[0]
    assert found is not None
    assert found.log_ratio == pytest.approx(differences.mean())
    assert found.low == pytest.approx(differences.mean() - half)
    assert found.high == pytest.approx(differences.mean() + half)
    assert (found.lowest_level, found.highest_level) == (0, 1)


def test_intervals_that_hold_together_are_wider_by_sidak() -> None:
    one = Contrasts(np.zeros(1), np.ones(1), np.array([10.0]))
    assert half_widths(one, 1) == pytest.approx([stdtrit(10, 0.975)])
    significance = 1 - 0.95 ** (1 / 14)
    assert half_widths(one, 14) == pytest.approx([stdtrit(10, 1 - significance / 2)])


def test_points_of_like_spread_share_one_error() -> None:
    study = design(grid(2, 2))
    fit = fit_blocks(*runs_of(np.zeros(4), 3, noisy((3, 4))))
    errors = error_from_runs(fit, study)
    assert errors.kind == "pooled"
    assert errors.variance == pytest.approx([fit.squares.sum() / 6] * 4)
    contrast = contrasts_of(fit, errors, np.array([[0.5, 0.5, -0.5, -0.5]]))
    assert contrast.error == pytest.approx([math.sqrt(fit.squares.sum() / 6 / 3)])
    assert contrast.df == [6]


def noisy_level() -> tuple[Design, tuple[Floats, Ints, Ints]]:
    """Return a study of 24 points in which a level of f0 spreads 10 times as much."""
    study = design(grid(2, 3, 4))
    noise = noisy((5, 24))
    noise[:, study.levels[:, 0] == 1] *= 10
    return study, runs_of(np.zeros(24), 5, noise)


def test_a_noisy_level_does_not_widen_the_others() -> None:
    study, runs = noisy_level()
    fit = fit_blocks(*runs)
    errors = error_from_runs(fit, study)
    assert errors.kind == "per point"
    # A point: its residual squares over (5 - 1) * (1 - 1/24) degrees of freedom.
    assert errors.variance == pytest.approx(fit.squares / (4 * 23 / 24))
    calm, both = np.zeros((2, 24))
    calm[[0, 1]] = both[[0, 12]] = 1.0, -1.0
    contrasts = contrasts_of(fit, errors, np.array([calm, both]))
    assert contrasts.error[1] > 3 * contrasts.error[0]


def test_a_point_with_one_run_has_the_error_of_all() -> None:
    study, (values, point, block) = noisy_level()
    kept = (point != 0) | (block == 0)
    fit = fit_blocks(values[kept], point[kept], block[kept])
    errors = error_from_runs(fit, study)
    assert errors.kind == "per point"
    assert errors.variance[0] == pytest.approx(fit.squares.sum() / fit.df)


def test_degrees_of_freedom_never_exceed_those_of_the_fit() -> None:
    study = design(grid(2, 2))
    noise = noisy((5, 4))
    noise[:, 0] *= 30
    fit = fit_blocks(*runs_of(np.zeros(4), 5, noise))
    errors = error_from_runs(fit, study)
    contrasts = contrasts_of(
        fit, errors, np.array([[1, -1, 0, 0], [0, 0, 1, -1], [1, 1, -1, -1.0]])
    )
    assert errors.kind == "per point"
    assert (contrasts.df >= 1).all()
    assert (contrasts.df <= fit.df).all()
    assert (contrasts.df == np.floor(contrasts.df)).all()


def test_ranks_are_apart_only_where_intervals_are() -> None:
    def interval(low: float, high: float) -> Range:
        return Range((low + high) / 2, low, high, 0, 1)

    ranges = [interval(0.5, 0.6), interval(0.2, 0.4), interval(0.3, 0.45), None, interval(0.0, 0.1)]
    assert rank_sets(ranges) == [(1, 1), (2, 3), (2, 3), None, (4, 4)]


def test_known_effects_are_found_in_order() -> None:
    study = design(grid(2, 3, 2))
    truth = np.array([0.4, 0.2, 0.1]) @ study.levels.T
    ranking = rank_factors(*runs_of(truth, 3, noisy((3, 12), 0.005)), study, source="runs")
    assert ranking.ranks == [(1, 2), (1, 2), (3, 3)]
    for found, expected in zip(ranking.ranges, (0.4, 0.4, 0.1), strict=True):
        assert found is not None
        assert found.low < expected < found.high


def test_equal_figures_give_no_effect_and_no_error() -> None:
    ranking = rank_factors(
        *runs_of(np.zeros(4), 3, np.zeros((3, 4))), design(grid(2, 2)), source="runs"
    )
    for found in ranking.ranges:
        assert found is not None
        assert (found.low, found.log_ratio) == (0.0, 0.0)
        assert found.high < 1e-10
    assert ranking.shares == "the points differ no more than their runs"
    assert ranking.dependences.listed == []


def test_exact_differences_are_exact() -> None:
    study = design(grid(2, 2))
    truth = 0.5 * study.levels[:, 0]
    ranking = rank_factors(*runs_of(truth, 3, np.zeros((3, 4))), study, source="runs")
    first, second = ranking.ranges
    assert first is not None
    assert second is not None
    assert (first.low, first.high) == pytest.approx((0.5, 0.5))
    assert second.low == 0.0
    assert ranking.ranks == [(1, 1), (2, 2)]


def test_a_level_that_was_never_measured_is_not_compared() -> None:
    study = design(grid(3, 2))
    kept = study.levels[:, 0] != 1
    ranking = rank_factors(
        *runs_of(np.zeros(4), 3, noisy((3, 4))), study.restricted_to(kept), source="runs"
    )
    assert ranking.pairs[0].a.tolist() == [0]
    assert ranking.pairs[0].b.tolist() == [2]


def test_nested_backends_are_ranked() -> None:
    study = design(nested_backends())
    truth = np.array([0.5, 0.0, 0.0, 0.1]) @ study.levels.T + 0.1 * np.maximum(
        study.levels[:, 1], 0
    )
    ranking = rank_factors(*runs_of(truth, 3, noisy((3, 12), 0.001)), study, source="runs")
    ranges = [found.log_ratio for found in ranking.ranges if found is not None]
    assert ranges == pytest.approx([0.4, 0.2, 0.0, 0.1], abs=0.005)


def test_without_errors_there_are_ratios_only() -> None:
    study = design(grid(2, 2))
    ranking = rank_factors(
        *runs_of(0.1 * study.levels[:, 0], 1, noisy((1, 4))), study, source="none"
    )
    assert ranking.errors is None
    assert ranking.ranks == [None, None]
    assert ranking.ranges[0] is not None
    assert math.isnan(ranking.ranges[0].low)
    assert ranking.shares == "the noise is not known"
