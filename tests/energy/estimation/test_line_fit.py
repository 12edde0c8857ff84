"""The least-squares line of a calibration: exact, with honest intervals, and robust to outliers."""

from __future__ import annotations

import random

import pytest

from llem_energy._gain.line_fit import fit_line, t_quantile


def test_a_line_without_noise_is_exact() -> None:
    xs = [100.0, 200.0, 300.0, 400.0, 550.0]
    line = fit_line(xs, [240 + 1.1 * x for x in xs])
    assert line.slope == pytest.approx(1.1)
    assert line.offset == pytest.approx(240)
    assert line.slope_se < 1e-9
    assert line.kept == (0, 1, 2, 3, 4)


def test_standard_errors_are_those_of_the_textbook() -> None:
    # Residuals 1, -1, -1, 1 around y = x: sd = sqrt(4 / 2), Sxx = 5, mean of x = 2.5.
    line = fit_line([1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 2.0, 5.0])
    assert line.slope == pytest.approx(1.0)
    assert line.offset == pytest.approx(0.0)
    assert line.residual_sd == pytest.approx(2**0.5)
    assert line.slope_se == pytest.approx((2 / 5) ** 0.5)
    assert line.offset_se == pytest.approx((2 * (1 / 4 + 6.25 / 5)) ** 0.5)


def test_outliers_are_left_out() -> None:
    noise = random.Random("line")
    xs = [100.0 + 40 * i for i in range(12)]
    ys = [240 + 1.1 * x + noise.gauss(0, 1) for x in xs]
    ys[3] += 150
    ys[7] -= 90
    line = fit_line(xs, ys)
    assert set(range(12)) - set(line.kept) == {3, 7}
    assert line.slope == pytest.approx(1.1, abs=0.01)


@pytest.mark.parametrize("n_points", [6, 8, 12, 40])
def test_the_interval_of_the_slope_contains_the_truth_in_95_of_100_fits(n_points: int) -> None:
    noise = random.Random("intervals")
    xs = [100 + 500 * i / n_points for i in range(n_points)]
    n_fits = 600
    n_inside = 0
    for _ in range(n_fits):
        line = fit_line(xs, [240 + 1.1 * x + noise.gauss(0, 3) for x in xs])
        n_inside += abs(line.slope - 1.1) <= line.interval()
    assert 0.92 <= n_inside / n_fits <= 0.98


@pytest.mark.parametrize(("n_free", "quantile"), [(4, 2.776), (6, 2.447), (10, 2.228), (60, 2.0)])
def test_quantiles_of_students_t(n_free: int, quantile: float) -> None:
    assert t_quantile(n_free) == pytest.approx(quantile, rel=0.005)
