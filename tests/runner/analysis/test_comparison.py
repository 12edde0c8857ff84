"""Which points of a study are compared, over which cycles, and what is said where none are."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import msgspec
import pytest
from fakes.results import make_result
from fakes.studies import study

from llem_energy import ExperimentResult
from llem_runner import Comparisons, ManifestEntry, PlannedRun, schedule
from llem_runner._analysis.comparison import compare_points, find_outliers

Runs = tuple[list[ManifestEntry], dict[int, ExperimentResult]]
WOBBLE = (0.0, 0.002, -0.001, 0.001, -0.002, 0.0015, -0.0005)


def joules(run: PlannedRun) -> float:
    """Return 1.0, 1.2 and so on by point, 10 % more in even cycles, and a little of its own."""
    level = 1 + 0.2 * (run.config.n - 1)
    return level * (1 + 0.1 * (run.cycle % 2)) * (1 + WOBBLE[run.index % 7])


def ran(
    n_points: int = 3,
    n_cycles: int = 4,
    *,
    order: str = "shuffled",
    failed: Collection[tuple[int, int]] = (),
    figures: Callable[[PlannedRun], dict[str, Any]] | None = None,
) -> Runs:
    """Return a study whose runs are a minute apart; `failed` are (n, cycle) without a result."""
    made = study(range(1, n_points + 1), n_cycles=n_cycles, cycle_order=order)
    entries, results = [], {}
    for run in schedule(made.experiments, made.execution):
        entry = ManifestEntry(
            index=run.index, cycle=run.cycle, config_hash=run.config_hash, label=run.label
        )
        entries.append(entry)
        if (run.config.n, run.cycle) not in failed:
            changes = {"started_at": f"2026-01-01T00:{run.index:02}:00+00:00"}
            own = figures(run) if figures else {"energy_per_output_token_j": joules(run)}
            results[run.index] = make_result(run.config, **changes | own)
    return entries, results


def compare(runs: Runs, order: str = "shuffled") -> Comparisons:
    return compare_points(*runs, order)


def test_points_are_compared_with_the_one_of_the_lowest_energy_per_token() -> None:
    found = compare(ran())
    assert (found.figure, found.reference_label) == ("energy_per_output_token_j", "n=1")
    assert [point.label for point in found.points] == ["n=2", "n=3"]
    for point, ratio in zip(found.points, (1.2, 1.4), strict=True):
        assert point.ratio == pytest.approx(ratio, rel=0.005)
        assert point.ci95_low < point.ratio < point.ci95_high
        assert point.distinguishable
    # The 10 % between cycles are taken out, so what is left is the little of each run.
    assert found.residual_cv is not None
    assert found.residual_cv < 0.005
    assert (found.n_blocks, found.n_unused, found.left_out, found.reason) == (4, 0, (), None)


def test_points_that_differ_by_less_than_their_spread_are_not_told_apart() -> None:
    found = compare(
        ran(figures=lambda run: {"energy_per_output_token_j": 1 + WOBBLE[run.index % 7]})
    )
    assert [point.distinguishable for point in found.points] == [False, False]
    assert all(point.ci95_low < 1 < point.ci95_high for point in found.points)


def test_without_energy_points_are_compared_by_speed() -> None:
    found = compare(
        ran(
            figures=lambda run: {
                "energy_per_output_token_j": None,
                "tokens_per_second": 100 * joules(run),
            }
        )
    )
    assert (found.figure, found.reference_label) == ("tokens_per_second", "n=3")
    assert [point.label for point in found.points] == ["n=2", "n=1"]
    assert all(point.ratio < 1 for point in found.points)
    assert set(found.error_budget) == {"statistical"}


def test_a_cycle_that_lacks_a_run_is_not_compared() -> None:
    found = compare(ran(failed={(2, 3)}))
    assert (found.n_blocks, found.n_unused, found.left_out) == (3, 2, ())
    assert len(found.points) == 2


def test_a_point_that_mostly_failed_is_left_out_and_costs_the_others_nothing() -> None:
    found = compare(ran(failed={(2, 1), (2, 2), (2, 4)}))
    assert (found.n_blocks, found.n_unused, found.left_out) == (4, 1, ("n=2",))
    assert [point.label for point in found.points] == ["n=3"]


def test_a_point_without_any_result_is_named() -> None:
    assert compare(ran(failed={(3, cycle) for cycle in range(1, 5)})).left_out == ("n=3",)


@pytest.mark.parametrize(
    ("runs", "order", "reason"),
    [
        (ran(n_points=1), "shuffled", "only one point has J per output token"),
        (ran(failed={(n, c) for n in (1, 2, 3) for c in (1, 2, 3, 4)}), "shuffled", "no run has"),
        (ran(n_cycles=1), "shuffled", "1 complete cycle of the 3 points, at least 2"),
        (ran(2, 2, failed={(1, 1), (2, 2)}), "shuffled", "0 complete cycles of the 2 points"),
        (ran(order="sequential"), "sequential", "in sequential order a drift"),
    ],
)
def test_where_nothing_can_be_compared_the_reason_is_said(
    runs: Runs, order: str, reason: str
) -> None:
    found = compare(runs, order)
    assert reason in (found.reason or "")
    assert (found.points, found.reference_hash) == ((), None)
    assert found.n_unused == len(runs[1])


def test_cycles_in_the_same_order_are_compared_with_a_warning() -> None:
    (caveat,) = compare(ran(order="interleaved"), "interleaved").caveats
    assert "drift within a cycle" in caveat
    assert compare(ran()).caveats == ()


def test_the_gain_of_the_sensor_cancels_only_on_the_same_devices() -> None:
    assert compare(ran()).error_budget["gain"].startswith("cancels")
    found = compare(
        ran(
            figures=lambda run: {
                "energy_per_output_token_j": joules(run),
                "energy_per_device_j": {f"GPU-{run.config.n}": 1.0},
            }
        )
    )
    assert found.error_budget["gain"].startswith("does not cancel")
    assert "different devices" in found.caveats[0]
    assert found.error_budget["edge"].startswith("does not cancel")


def test_a_run_repeated_after_its_cycle_is_said() -> None:
    entries, results = ran()
    results[1] = msgspec.structs.replace(results[1], started_at="2026-01-02T00:00:00+00:00")
    (caveat,) = compare((entries, results)).caveats
    assert "repeated after their cycle" in caveat


def test_a_run_that_stands_out_is_named_with_what_it_said_and_stays() -> None:
    entries, results = ran(n_cycles=6)
    hot = msgspec.structs.replace(
        results[8],
        energy_per_output_token_j=1.5 * joules(schedule_run(8)),
        measurement_warnings=("held back by temperature",),
    )
    (found,) = find_outliers(entries, {**results, 8: hot})
    assert (found.index, found.cycle, found.label) == (8, 3, entries[7].label)
    assert found.ratio == pytest.approx(1.5, rel=0.1)
    assert found.warnings == ("held back by temperature",)
    assert find_outliers(entries, results) == ()
    assert compare((entries, {**results, 8: hot})).n_blocks == 6


def schedule_run(index: int) -> PlannedRun:
    made = study((1, 2, 3), n_cycles=6, cycle_order="shuffled")
    return schedule(made.experiments, made.execution)[index - 1]
