"""Intervals, outliers and comparisons of points have their nominal error rates."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.energy_statistics import coverage, false_differences, turns
from llem_runner._analysis.quantiles import range_quantile, t_quantile
from llem_runner._analysis.statistics import (
    fit_blocks,
    geometric_mean,
    lag1,
    mean_interval,
    outliers,
    runs_needed,
)

FIGURES = st.floats(0.1, 10)


@pytest.mark.parametrize(
    ("df", "at_95", "at_99"),
    [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (3, 3.182, 5.841),
        (4, 2.776, 4.604),
        (5, 2.571, 4.032),
        (6, 2.447, 3.707),
        (9, 2.262, 3.250),
        (10, 2.228, 3.169),
        (19, 2.093, 2.861),
        (30, 2.042, 2.750),
        (120, 1.980, 2.617),
    ],
)
def test_quantiles_of_t_agree_with_printed_tables(df: int, at_95: float, at_99: float) -> None:
    assert t_quantile(0.975, df) == pytest.approx(at_95, abs=5.1e-4)
    assert t_quantile(0.995, df) == pytest.approx(at_99, abs=5.1e-4)


def test_quantiles_of_t_agree_with_closed_forms_in_the_tail() -> None:
    p = 1 - 1e-6
    assert t_quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)))
    assert t_quantile(p, 2) == pytest.approx((2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p))))
    normal = statistics.NormalDist().inv_cdf(0.975)
    assert t_quantile(0.975, 100_000) == pytest.approx(normal, rel=1e-4)


@pytest.mark.parametrize(
    ("n_groups", "df", "expected"),
    [
        (3, 2, 8.331),
        (3, 10, 3.877),
        (4, 6, 4.896),
        (5, 20, 4.232),
        (6, 20, 4.445),
        (10, 30, 4.824),
        (20, 60, 5.241),
        (60, 200, 5.864),
    ],
)
def test_quantiles_of_the_studentised_range_agree_with_printed_tables(
    n_groups: int, df: int, expected: float
) -> None:
    assert range_quantile(0.95, n_groups, df) == pytest.approx(expected, abs=5.1e-4)


@pytest.mark.parametrize("df", [2, 5, 20, 200])
def test_quantiles_of_the_range_start_at_t_and_grow_with_the_number_of_groups(df: int) -> None:
    quantiles = [range_quantile(0.95, n, df) for n in (2, 3, 5, 10)]
    assert quantiles == sorted(quantiles)
    assert quantiles[0] == pytest.approx(math.sqrt(2) * t_quantile(0.975, df))


def test_an_interval_needs_two_runs_and_positive_values() -> None:
    assert mean_interval([]) is None
    assert mean_interval([2.0]) is None
    assert mean_interval([2.0, 0.0]) is None
    assert mean_interval([0.1, 0.1, 0.1]) == (0.1, 0.1)


def test_an_interval_is_a_t_interval_of_logarithms() -> None:
    low, high = mean_interval([1.0, math.e]) or (0.0, 0.0)
    half = 12.7062 * math.sqrt(0.5) / math.sqrt(2)
    assert math.log(low) == pytest.approx(0.5 - half, abs=1e-4)
    assert math.log(high) == pytest.approx(0.5 + half, abs=1e-4)


@given(st.lists(FIGURES, min_size=2, max_size=20), FIGURES)
def test_an_interval_scales_with_the_unit(values: list[float], unit: float) -> None:
    low, high = mean_interval(values) or (0.0, 0.0)
    scaled = mean_interval([value * unit for value in values])
    assert scaled == pytest.approx((low * unit, high * unit))
    assert low <= geometric_mean(values) * (1 + 1e-12)
    assert high >= geometric_mean(values) * (1 - 1e-12)


@pytest.mark.parametrize("n", [5, 7, 10, 20])
def test_the_95_percent_interval_covers_the_true_mean_in_93_to_97_percent(n: int) -> None:
    assert 0.93 <= coverage(n, trials=4000) <= 0.97


def test_drifting_runs_have_positive_and_alternating_runs_negative_autocorrelation() -> None:
    assert lag1([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(0.4)
    assert lag1([1.0, 2.0] * 4) == pytest.approx(-7 / 8)
    assert lag1([1.0, 2.0, 3.0]) is None
    assert lag1([0.1] * 6) is None


@pytest.mark.parametrize(
    ("cv", "expected"),
    [
        (0.005, (7, 4, 3)),
        (0.01, (18, 7, 4)),
        (0.02, (64, 18, 7)),
        (0.03, (141, 38, 12)),
        (0.05, (387, 99, 27)),
    ],
)
def test_runs_needed_agree_with_the_measurement_protocol(
    cv: float, expected: tuple[int, ...]
) -> None:
    assert tuple(runs_needed(cv, half) for half in (0.005, 0.01, 0.02)) == expected


def test_runs_needed_are_2_without_spread_and_none_above_the_limit() -> None:
    assert runs_needed(0.0, 0.005) == 2
    assert runs_needed(0.5, 0.005) is None


def test_a_run_far_from_the_others_is_an_outlier_and_normal_spread_is_not() -> None:
    assert outliers([1.00, 1.01, 1.08, 0.99, 1.00]) == (2,)
    assert outliers([1.00, 1.01, 1.02, 0.99, 1.00]) == ()
    assert outliers([2.0, 2.0, 2.0, 2.1]) == (3,)
    assert outliers([2.0] * 5) == ()
    assert outliers([1.0, 5.0]) == ()


def test_outliers_agree_with_a_published_example_of_the_grubbs_test() -> None:
    # NIST/SEMATECH e-Handbook 1.3.5.17.1, uranium isotope data; one outlier, the last.
    values = [199.31, 199.53, 200.19, 200.82, 201.92, 201.95, 202.18, 245.57]
    assert outliers(values) == (7,)


BLOCKS = st.integers(2, 4).flatmap(
    lambda n: st.lists(st.lists(FIGURES, min_size=n, max_size=n), min_size=2, max_size=5)
)


@settings(deadline=None)  # the first quantile of each size takes a tenth of a second
@given(BLOCKS, st.data())
def test_an_effect_on_a_whole_cycle_does_not_change_the_comparison(
    blocks: list[list[float]], data: st.DataObject
) -> None:
    factors = data.draw(st.lists(FIGURES, min_size=len(blocks), max_size=len(blocks)))
    shifted = [[f * value for value in block] for f, block in zip(factors, blocks, strict=True)]
    fit, shifted_fit = fit_blocks(blocks), fit_blocks(shifted)
    assert shifted_fit.half_width == pytest.approx(fit.half_width, abs=1e-9)
    for mean, shifted_mean in zip(fit.means, shifted_fit.means, strict=True):
        difference = shifted_mean - shifted_fit.means[0]
        assert difference == pytest.approx(mean - fit.means[0], abs=1e-9)


def test_a_comparison_of_two_points_is_the_paired_t_test() -> None:
    pairs = [[1.00, 1.10], [1.20, 1.25], [0.90, 1.05], [1.10, 1.15]]
    fit = fit_blocks(pairs)
    differences = [math.log(b / a) for a, b in pairs]
    half = t_quantile(0.975, 3) * statistics.stdev(differences) / math.sqrt(4)
    assert fit.df == 3
    assert fit.means[1] - fit.means[0] == pytest.approx(statistics.fmean(differences))
    assert fit.half_width == pytest.approx(half)


def test_points_that_differ_only_by_rounding_are_not_distinguishable() -> None:
    fit = fit_blocks([[0.3, 0.1 + 0.2], [0.6, 0.2 + 0.4], [0.9, 0.3 + 0.6]])
    assert max(fit.means) - min(fit.means) <= fit.half_width


@pytest.mark.parametrize("cv", [0.0025, 0.005, 0.02])
def test_shuffled_cycles_distinguish_identical_points_in_at_most_7_percent(
    cv: float,
) -> None:
    assert false_differences("shuffled", cv=cv, trials=2000) <= 0.07


def test_sequential_order_distinguishes_identical_points_falsely() -> None:
    assert false_differences("sequential", adjusted=False, trials=500) >= 0.95
    assert false_differences("sequential", adjusted=True, trials=500) >= 0.95


def test_a_simulated_study_runs_in_the_order_of_the_schedule() -> None:
    assert turns("sequential", 1, 2, 2) == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert turns("interleaved", 1, 2, 2) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert {tuple(turns("shuffled", seed, 3, 2)) for seed in range(20)} != {
        tuple(turns("interleaved", 1, 3, 2))
    }
