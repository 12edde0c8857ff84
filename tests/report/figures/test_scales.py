"""Ticks and numbers that a reader sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem_report._figures.names import short_names
from llem_report._figures.scales import (
    log_axis,
    log_ticks,
    number,
    percent,
    ratio,
    ratio_with_interval,
)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1.0, 1.5, (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)),
        (0.95, 4.0, (1.0, 1.5, 2.0, 3.0)),
        (0.2, 30.0, (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)),
        (1.0, 1e6, (1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6)),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, ticks: tuple[float, ...]) -> None:
    assert log_ticks(low, high, max_ticks=7) == ticks


@given(
    st.floats(min_value=1e-9, max_value=1e9),
    st.floats(min_value=1, max_value=1e6),
    st.integers(3, 8),
)
def test_ticks_are_inside_the_axis_and_not_too_many(low: float, span: float, most: int) -> None:
    axis = log_axis([low, low * span], max_ticks=most)
    assert axis.low < low and axis.high > low * span * (1 - 1e-12)
    assert len(axis.ticks) <= most
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert list(axis.ticks) == sorted(set(axis.ticks))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234.5, "1\N{NARROW NO-BREAK SPACE}234"),
        (0.04123, "0.0412"),
        (2.5, "2.50"),
        (0.0, "0"),
        (-3.21, "\N{MINUS SIGN}3.21"),
        (None, "\N{EN DASH}"),
    ],
)
def test_numbers_have_three_digits_and_never_an_exponent(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_a_narrow_interval_has_more_places_than_a_wide_one() -> None:
    assert ratio_with_interval(1.5, 1.2, 1.9) == f"{ratio(1.5)} (1.20\N{EN DASH}1.90)"
    assert ratio_with_interval(1.0304, 1.0254, 1.0351).endswith("1.030 (1.025\N{EN DASH}1.035)")
    assert ratio_with_interval(1.5, None, None) == ratio(1.5)


def test_shares_below_one_percent_have_a_decimal() -> None:
    assert [percent(share) for share in (0.456, 0.004, -0.1)] == ["46 %", "0.4 %", "0.0 %"]


def test_names_are_short_where_that_is_unique() -> None:
    keys = ["pytorch.batch_size", "vllm.seed", "tgi.seed", "precision"]
    assert short_names(keys) == {
        "pytorch.batch_size": "batch_size",
        "vllm.seed": "vllm.seed",
        "tgi.seed": "tgi.seed",
        "precision": "precision",
    }
