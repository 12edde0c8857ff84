"""Issue 13: orders and numbers of cycles that allow intervals, and those that do not."""

from __future__ import annotations

import numpy as np
import pytest
from report.ranking.studies import design, grid, runs_of

from llem_report._ranking.conditions import (
    CONSTANT_ORDER,
    ONE_CYCLE,
    UNKNOWN_ORDER,
    PlacedRun,
    drift_caveats,
    error_source,
    is_constant,
)
from llem_report._ranking.designs import nesting
from llem_runner.block_model import fit_blocks

SMALL = design(grid(2, 2))
BIG = design(grid(3, 3, 4))


def runs(*cycles: list[int]) -> list[PlacedRun]:
    """Return the runs of cycles, each given as its points in the order in which they ran."""
    places = [(point, block) for block, points in enumerate(cycles) for point in points]
    return [PlacedRun(point, block, at) for at, (point, block) in enumerate(places)]


def test_shuffled_cycles_have_errors_from_their_runs() -> None:
    found = error_source(runs([0, 1, 2, 3], [2, 0, 3, 1]), "shuffled", SMALL, nesting(SMALL))
    assert found == ("runs", None)


@pytest.mark.parametrize("order", ["shuffled", "interleaved"])
def test_the_same_order_in_all_cycles_has_no_errors(order: str) -> None:
    same = runs([0, 1, 2, 3], [0, 1, 3], [1, 2])
    assert error_source(same, order, SMALL, nesting(SMALL)) == ("none", CONSTANT_ORDER)


def test_sequential_cycles_have_no_errors() -> None:
    found = error_source(runs([0, 1, 2, 3], [2, 0, 3, 1]), "sequential", SMALL, nesting(SMALL))
    assert found == ("none", CONSTANT_ORDER)


def test_one_shuffled_cycle_needs_eight_degrees_of_freedom() -> None:
    points = list(range(36))
    assert error_source(runs(points), "shuffled", BIG, nesting(BIG)) == ("interactions", None)
    assert error_source(runs(points), "interleaved", BIG, nesting(BIG)) == ("none", ONE_CYCLE)
    assert error_source(runs(points), "unknown", BIG, nesting(BIG)) == ("none", UNKNOWN_ORDER)
    source, reason = error_source(runs([2, 0, 3, 1]), "shuffled", SMALL, nesting(SMALL))
    assert source == "none"
    assert reason is not None
    assert "only one cycle, and the 4 points leave 0 degrees of freedom" in reason


def test_points_that_ran_only_once_count_as_one_cycle() -> None:
    source, reason = error_source(runs([3, 0, 2, 1], [0]), "shuffled", SMALL, nesting(SMALL))
    assert source == "none"
    assert reason is not None
    assert "more than half of the points ran only once" in reason
    half = runs([3, 0, 2, 1], [0, 3])
    assert error_source(half, "shuffled", SMALL, nesting(SMALL)) == ("runs", None)


def test_an_order_is_constant_as_far_as_the_points_ran() -> None:
    assert is_constant(runs([3, 1, 2], [3, 2], [1, 2]))
    assert not is_constant(runs([3, 1, 2], [3, 2], [2, 1]))
    assert not is_constant(runs([0, 1, 2]))
    # The first block was interrupted, or is of a shard with other points.
    assert is_constant(runs([4], [3, 1, 2], [3, 1, 2]))
    assert is_constant(runs([4, 5], [3, 1, 2], [3, 1, 2]))
    assert not is_constant(runs([4, 5], [3, 1, 2], [5, 4], [3, 1, 2]))


def test_runs_that_drift_within_cycles_are_a_caveat() -> None:
    rng = np.random.default_rng(5)
    orders = [rng.permutation(20) for _ in range(3)]
    in_order = [block * 20 + int(p) for block, order in enumerate(orders) for p in order]

    def found(drift: float) -> list[str]:
        noise = rng.normal(size=(3, 20)) * 0.01
        for block, order in enumerate(orders):
            noise[block, order] += np.linspace(0, drift, 20)
        return list(drift_caveats(fit_blocks(*runs_of(np.zeros(20), 3, noise)), in_order))

    assert found(0.0) == []
    (text,) = found(0.1)
    assert "lag-1 autocorrelation" in text
    assert "the intervals are too narrow" in text


def test_runs_without_any_spread_do_not_drift() -> None:
    fit = fit_blocks(*runs_of(np.zeros(4), 2, np.zeros((2, 4))))
    assert list(drift_caveats(fit, range(8))) == []
