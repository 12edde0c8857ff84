"""Intervals of a point, and the number of runs that it needs."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulated.points import coverage
from llem_runner._analysis.quantiles import range_quantile, t_quantile, t_quantile_between
from llem_runner._analysis.statistics import (
    bounded_exp,
    cv_limit,
    geometric_mean,
    lag1,
    mean_interval,
    runs_needed,
    sample_sd,
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


def test_an_end_of_an_interval_is_a_positive_number_however_far_away_it_is() -> None:
    assert bounded_exp(0.5) == math.exp(0.5)
    assert 1e300 < bounded_exp(1e6) < math.inf
    assert 0 < bounded_exp(-1e6) < 1e-300


@pytest.mark.parametrize(
    ("df", "at_975", "at_9999"),
    [(1.25, 8.02795, 669.649), (1.5, 6.01666, 242.264), (2.5, 3.57465, 34.8680)],
)
def test_quantiles_of_t_between_whole_degrees_of_freedom_are_not_too_small(
    df: float, at_975: float, at_9999: float
) -> None:
    """The figures are those of scipy 1.17."""
    for probability, exact in ((0.975, at_975), (0.9999, at_9999)):
        assert 0.999 * exact <= t_quantile_between(probability, df) <= 1.04 * exact
    assert t_quantile_between(0.975, 3.0) == t_quantile(0.975, 3)


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


def test_an_interval_needs_three_runs_and_positive_values() -> None:
    assert mean_interval([]) is None
    assert mean_interval([2.0]) is None
    assert mean_interval([2.0, 2.1]) is None
    assert mean_interval([2.0, 2.1, 0.0]) is None
    assert mean_interval([0.1, 0.1, 0.1]) == (0.1, 0.1)


def test_an_interval_is_a_t_interval_of_logarithms() -> None:
    low, high = mean_interval([1.0, math.e, math.e**2]) or (0.0, 0.0)
    half = 4.30265 * 1.0 / math.sqrt(3)
    assert math.log(low) == pytest.approx(1 - half, abs=1e-4)
    assert math.log(high) == pytest.approx(1 + half, abs=1e-4)


@given(st.lists(FIGURES, min_size=3, max_size=20), FIGURES)
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


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_upper_limit_of_a_spread_is_above_the_true_spread_in_80_percent(n: int) -> None:
    noise = random.Random(f"limit/{n}")
    points = [[noise.gauss(1, 0.01) for _ in range(n)] for _ in range(2000)]
    limits = [cv_limit(statistics.stdev(p) / statistics.fmean(p), n) for p in points]
    assert sum(limit > 0.01 for limit in limits) / len(limits) == pytest.approx(0.8, abs=0.03)


def test_the_range_of_runs_needed_has_the_true_number_in_it_more_often_than_the_lower_end() -> None:
    noise = random.Random("runs needed")
    above = {"observed": 0, "limit": 0}
    for _ in range(1000):
        values = [noise.gauss(1, 0.01) for _ in range(5)]
        cv = statistics.stdev(values) / statistics.fmean(values)
        above["observed"] += (runs_needed(cv, 0.005) or 1001) >= 18  # the number at a CV of 1 %
        above["limit"] += (runs_needed(cv_limit(cv, 5), 0.005) or 1001) >= 18
    assert above["observed"] < 500
    assert above["limit"] > 750


@given(
    st.lists(st.floats(-1e300, 1e300).filter(lambda x: x == 0 or abs(x) > 1e-280), min_size=2),
    st.sampled_from([0.0, 1.0, 1e9, -1e17]),
)
def test_the_standard_deviation_is_that_of_the_standard_library(
    values: list[float], shift: float
) -> None:
    values = [value + shift for value in values]
    assert sample_sd(values) == pytest.approx(statistics.stdev(values), rel=1e-12, abs=0)


@given(st.lists(st.integers(-3, 3), min_size=2), st.sampled_from([1.0, 1e-300, 1e16, 1e308]))
def test_values_close_together_have_the_standard_deviation_of_the_standard_library(
    steps: list[int], value: float
) -> None:
    """A mean rounded to the nearest double would be as wrong as the distances are large."""
    values = [value + step * math.ulp(value) for step in steps]
    assert sample_sd(values) == pytest.approx(statistics.stdev(values), rel=1e-12, abs=0)
