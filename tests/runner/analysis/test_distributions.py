"""Tails of the chi-square and the beta distribution agree with printed tables."""

from __future__ import annotations

import pytest

from llem_runner._analysis.distributions import (
    beta_above,
    chi_square_above,
    chi_square_quantile,
    f_above,
)


@pytest.mark.parametrize(
    ("df", "at_95", "at_20"),
    [(1, 3.841, 0.064), (2, 5.991, 0.446), (5, 11.070, 2.343), (10, 18.307, 6.179)],
)
def test_quantiles_of_chi_square_agree_with_printed_tables(
    df: int, at_95: float, at_20: float
) -> None:
    assert chi_square_quantile(0.95, df) == pytest.approx(at_95, abs=5.1e-4)
    assert chi_square_quantile(0.2, df) == pytest.approx(at_20, abs=5.1e-4)
    assert chi_square_above(at_95, df) == pytest.approx(0.05, abs=1e-4)
    assert chi_square_above(0.0, df) == pytest.approx(1.0)


@pytest.mark.parametrize("df", [199, 2000])
def test_chi_square_of_many_degrees_of_freedom_is_almost_normal(df: int) -> None:
    assert chi_square_above(df, df) == pytest.approx(0.5, abs=0.02)
    assert chi_square_quantile(0.95, df) == pytest.approx(df + 1.645 * (2 * df) ** 0.5, rel=0.01)


@pytest.mark.parametrize(
    ("df", "df_below", "at_95"),
    [(1, 1, 161.448), (2, 10, 4.103), (5, 5, 5.050), (10, 2, 19.396), (1, 30, 4.171)],
)
def test_tails_of_f_agree_with_printed_tables(df: int, df_below: int, at_95: float) -> None:
    assert f_above(at_95, df, df_below) == pytest.approx(0.05, abs=2e-4)


def test_a_beta_tail_has_the_closed_form_of_a_uniform_variable() -> None:
    for share in (0.0, 0.25, 0.9, 1.0):
        assert beta_above(share, 2, 2) == pytest.approx(1 - share, abs=1e-9)
