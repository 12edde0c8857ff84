"""Points that did not run in every block are compared as exactly as their blocks allow."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from fakes.results import make_result
from fakes.studies import study
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulated.shards import Design, false_winners
from llem_runner._analysis.compared_runs import runs_to_compare
from llem_runner._analysis.comparison import compare_points
from llem_runner._analysis.complete_blocks import compare_complete_blocks
from llem_runner._analysis.incomplete_blocks import IncompleteBlockComparison
from llem_runner._analysis.incomplete_spreads import BlockRun
from llem_runner.plan import schedule
from llem_runner.records import Comparisons, ManifestEntry

TABLES = st.tuples(st.integers(2, 7), st.integers(3, 5), st.integers(0, 10_000))


def noisy_table(n_points: int, n_blocks: int, seed: int) -> list[list[float]]:
    rng = random.Random(seed)
    spreads = [0.01 * rng.choice([1, 1, 1, 10]) for _ in range(n_points)]
    levels = [rng.uniform(0, 0.5) for _ in range(n_points)]
    return [
        [
            math.exp(level + shift + rng.gauss(0, spread))
            for level, spread in zip(levels, spreads, strict=True)
        ]
        for shift in (rng.uniform(-0.2, 0.2) for _ in range(n_blocks))
    ]


def runs_of(table: Sequence[Sequence[float]]) -> list[BlockRun]:
    return [
        BlockRun(point, block, math.log(value))
        for block, row in enumerate(table)
        for point, value in enumerate(row)
    ]


@settings(
    deadline=None, max_examples=30
)  # the first quantile of each size takes a tenth of a second
@given(TABLES)
def test_with_complete_blocks_both_comparisons_give_the_same_numbers(
    shape: tuple[int, int, int],
) -> None:
    table = noisy_table(*shape)
    complete = compare_complete_blocks(table, 0.05)
    general = IncompleteBlockComparison(runs_of(table), 0.05)
    assert general.group_of == complete.group_of
    assert [group.df for group in general.groups] == [group.df for group in complete.groups]
    assert general.means == pytest.approx(complete.means, abs=1e-12)
    assert general.residual_sd == pytest.approx(complete.residual_sd, rel=1e-9)
    assert general.usual_half_width == pytest.approx(complete.usual_half_width, rel=1e-9)
    for j in range(1, shape[0]):
        assert general.half_width(0, j) == pytest.approx(complete.half_width(0, j), rel=1e-9)
    for ours, theirs in zip(general.block_effects(), complete.block_effects(), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-12)


def test_a_point_that_lacks_the_dear_cycle_is_not_cheaper_for_it() -> None:
    table = [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    runs = [run for run in runs_of(table) if (run.point, run.block) != (0, 1)]
    fit = IncompleteBlockComparison(runs, 0.05)
    assert fit.means[0] == pytest.approx(fit.means[1], abs=1e-12)


def test_an_interval_is_wider_for_a_point_with_fewer_runs() -> None:
    rng = random.Random(5)
    table = [[math.exp(rng.gauss(0, 0.01)) for _ in range(6)] for _ in range(5)]
    runs = [run for run in runs_of(table) if not (run.point == 0 and run.block in (1, 3))]
    fit = IncompleteBlockComparison(runs, 0.05)
    quiet = [point for point in range(1, 6) if fit.group_of[point] == 0]
    assert fit.group_of[0] == 0
    assert fit.half_width(0, quiet[0]) > fit.half_width(quiet[0], quiet[1])


@pytest.mark.parametrize("design", [Design.CYCLES, Design.SHARDS, Design.CUT], ids=lambda d: d.name)
def test_nodes_that_differ_by_3_percent_make_few_false_winners(design: Design) -> None:
    # With 1,000 studies: 3 to 5 % (`benchmarks/shard_statistics.py`).
    assert false_winners(design, n_points=12, n_cycles=4, n_shards=2, trials=100) <= 0.12


def resumed_study(cut: int, step: float) -> Comparisons:
    """Return a study of 8 points x 4 cycles that was continued, `step` higher, from run `cut` on."""
    planned = study(range(1, 9), n_cycles=4, cycle_order="shuffled")
    rng = random.Random(3)
    entries, results = [], {}
    for run in schedule(planned):
        session = 1 if run.index <= cut else 2
        value = (1 + 0.01 * run.config.n) * math.exp(step * (session - 1) + rng.gauss(0, 0.001))
        entries.append(
            ManifestEntry(
                index=run.index,
                cycle=run.cycle,
                session=session,
                config_hash=run.config_hash,
                label=run.label,
            )
        )
        results[run.index] = make_result(run.config, energy_per_output_token_j=value)
    assert runs_to_compare(entries, results).n_runs == 32
    return compare_points(entries, results, "shuffled")


def test_a_resume_on_a_warmer_machine_does_not_hide_differences() -> None:
    steady, warmer = resumed_study(12, 0.0), resumed_study(12, 0.06)
    assert [block.session for block in warmer.blocks] == [1, 1, 2, 2, 2]
    assert steady.residual_cv is not None
    assert warmer.residual_cv == pytest.approx(steady.residual_cv, rel=0.01)
    assert [point.distinguishable for point in warmer.points] == [True] * 7
    before, after = warmer.blocks[0], warmer.blocks[-1]
    assert after.ratio / before.ratio == pytest.approx(math.exp(0.06), rel=0.005)
    assert before.ci95_high < after.ci95_low


def test_an_interval_that_is_wider_than_any_number_is_still_a_pair_of_numbers() -> None:
    # One run is missing, of a point among 40 that is off by many orders: two degrees of freedom.
    rng = random.Random(1)
    planned = study(range(1, 41), n_cycles=4, cycle_order="shuffled")
    entries, results = [], {}
    for run in schedule(planned):
        entries.append(
            ManifestEntry(
                index=run.index, cycle=run.cycle, config_hash=run.config_hash, label=run.label
            )
        )
        is_noisy = run.config.n == 1
        if not (is_noisy and run.cycle == 4):
            value = math.exp(rng.gauss(0, 80 if is_noisy else 0.01))
            results[run.index] = make_result(run.config, energy_per_output_token_j=value)
    comparisons = compare_points(entries, results, "shuffled")
    widest = max(comparisons.points, key=lambda point: point.ci95_high)
    assert 0 < widest.ci95_low < 1e-300
    assert 1e300 < widest.ci95_high < math.inf
    assert not widest.distinguishable


def test_the_order_of_the_runs_does_not_change_which_points_spread_alike() -> None:
    # The points have 3.5 degrees of freedom each, which rounding can put on either side of the half.
    missing = {(0, 0), (1, 4), (2, 1)}
    cells = [(p, b) for p in range(3) for b in range(6) if (p, b) not in missing]
    for seed in range(200):
        rng = random.Random(seed)
        runs = [BlockRun(p, b, rng.gauss(0, (0.05, 0.01, 0.02)[p])) for p, b in cells]
        turned = random.Random(1).sample(runs, len(runs))
        fit, other = (IncompleteBlockComparison(each, 0.05) for each in (runs, turned))
        assert fit.group_of == other.group_of
