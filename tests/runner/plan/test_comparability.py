"""An order or a number of cycles that allows no comparison is reported before the first run."""

from __future__ import annotations

import pytest
from fakes.studies import study

from llem_runner._plan.comparability import MIN_CYCLES
from llem_runner.plan import why_not_comparable


def test_shuffled_cycles_can_be_compared() -> None:
    assert why_not_comparable(study((1, 2, 3), n_cycles=3, cycle_order="shuffled")) is None


@pytest.mark.parametrize("order", ["sequential", "interleaved"])
def test_a_constant_order_cannot_be_compared(order: str) -> None:
    reason = why_not_comparable(study((1, 2, 3), n_cycles=5, cycle_order=order))
    assert reason is not None
    assert "same order in all cycles" in reason
    assert "cycle_order: shuffled" in reason


def test_random_orders_that_are_the_same_by_chance_cannot_be_compared() -> None:
    reasons = [
        why_not_comparable(study((1, 2), n_cycles=3, cycle_order="shuffled", shuffle_seed=seed))
        for seed in range(40)
    ]
    assert 1 <= sum(reason is not None for reason in reasons) <= 25  # one in four is expected


def test_too_few_cycles_cannot_be_compared() -> None:
    reason = why_not_comparable(study((1, 2), n_cycles=MIN_CYCLES - 1, cycle_order="shuffled"))
    assert reason is not None
    assert f"at least {MIN_CYCLES} cycles, found {MIN_CYCLES - 1}" in reason


def test_one_point_needs_no_comparison() -> None:
    assert why_not_comparable(study((1,), n_cycles=1)) is None
