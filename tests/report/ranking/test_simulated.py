"""Issue 13: intervals hold as often as they claim, in simulated studies with fixed seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from report.ranking.studies import design, grid, nested_backends, runs_of, without

from llem_report._ranking.contexts import cells_of, level_weights
from llem_report._ranking.contrasts import error_from_runs, half_widths
from llem_report._ranking.designs import nesting
from llem_report._ranking.effects import all_pairs, contrast_pairs, range_of
from llem_report._ranking.ranking import rank_factors
from llem_runner.block_model import fit_blocks

_TRIALS = 300

if TYPE_CHECKING:
    from llem_report._ranking.designs import Floats, Ints


def coverage(
    table: Ints, n_cycles: int, spread: Floats, *, missing: float = 0.0
) -> tuple[float, float]:
    """Return how often single intervals hold, and all ranges of a study; there are no effects."""
    rng = np.random.default_rng([n_cycles, len(table)])
    study, n_factors = design(table), table.shape[1]
    nested = nesting(study)
    hits = pairs = together = 0
    for _ in range(_TRIALS):
        noise = rng.normal(size=(n_cycles, len(table))) * spread + rng.normal(size=(n_cycles, 1))
        lost = rng.random(noise.size) < missing
        lost[: len(table)] = False  # every point keeps a run
        fit = fit_blocks(*without(runs_of(np.zeros(len(table)), n_cycles, noise), lost))
        errors = error_from_runs(fit, study)
        levels = [level_weights(cells_of(study, f, nested, fit.part)) for f in range(n_factors)]
        for each in levels:
            contrasts = contrast_pairs(fit, errors, each)[2]
            hits += int((abs(contrasts.difference) <= half_widths(contrasts, 1)).sum())
            pairs += len(contrasts.error)
        ranges = [range_of(each) for each in all_pairs(fit, errors, levels)]
        together += all(found is not None and found.low == 0 for found in ranges)
    return hits / pairs, together / _TRIALS


@pytest.mark.parametrize("n_cycles", [2, 3, 5])
def test_intervals_of_a_grid_hold(n_cycles: int) -> None:
    single, together = coverage(grid(3, 2, 2), n_cycles, np.full(12, 0.02))
    assert 0.93 < single < 0.975
    assert together > 0.95 - 2 * 0.0126


def test_intervals_hold_with_failed_runs() -> None:
    single, together = coverage(grid(3, 2, 2), 3, np.full(12, 0.02), missing=0.1)
    assert 0.93 < single < 0.975
    assert together > 0.95 - 2 * 0.0126


@pytest.mark.parametrize("n_cycles", [3, 5])
def test_intervals_hold_where_one_backend_is_noisier(n_cycles: int) -> None:
    table = nested_backends()
    single, together = coverage(table, n_cycles, np.where(table[:, 0] == 1, 0.08, 0.02))
    assert 0.93 < single < 0.985
    assert together > 0.95 - 2 * 0.0126


def test_one_shuffled_cycle_with_eight_degrees_of_freedom_has_intervals() -> None:
    rng = np.random.default_rng(10)
    study = design(grid(3, 3, 4))
    hits = 0
    for _ in range(_TRIALS):
        runs = runs_of(np.zeros(36), 1, rng.normal(size=(1, 36)) * 0.02)
        ranking = rank_factors(*runs, study, source="interactions")
        assert ranking.errors is not None
        assert ranking.errors.df == 12
        hits += all(found is not None and found.low == 0 for found in ranking.ranges)
    assert hits / _TRIALS > 0.95 - 2 * 0.0126


def test_one_cycle_with_fewer_degrees_of_freedom_has_none() -> None:
    study = design(grid(3, 3, 2))  # 4 degrees of freedom beyond two-way interactions
    ranking = rank_factors(
        *runs_of(np.zeros(18), 1, np.zeros((1, 18))), study, source="interactions"
    )
    assert ranking.errors is None


def test_a_true_crossing_of_8_percent_is_found_and_none_is_invented() -> None:
    rng = np.random.default_rng(11)
    study = design(grid(2, 4, 2, 3))
    found = invented = 0
    for _ in range(20):
        noise = rng.normal(size=(3, 48)) * 0.02
        crossing = np.where(study.levels[:, 1] < 2, 0.04, -0.04) * (2 * study.levels[:, 0] - 1)
        flat = rank_factors(*runs_of(np.zeros(48), 3, noise), study, source="runs")
        crossed = rank_factors(*runs_of(crossing, 3, noise), study, source="runs")
        invented += any(each.flips for each in flat.dependences.listed)
        found += any(
            each.flips and (each.factor, each.other) == (0, 1)
            for each in crossed.dependences.listed
        )
    assert found == 20
    assert invented == 0
