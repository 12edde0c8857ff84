"""The points and cycles that are compared, and the reason if none are compared."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import msgspec
import pytest
from fakes.results import make_result
from fakes.studies import study

from llem_energy import ExperimentResult
from llem_runner._analysis.comparison import compare_points, find_outliers
from llem_runner.plan import PlannedRun, schedule
from llem_runner.records import Comparisons, ManifestEntry

Runs = tuple[list[ManifestEntry], dict[int, ExperimentResult]]
NOISE = (0.0, 0.002, -0.001, 0.001, -0.002, 0.0015, -0.0005)


def joules(run: PlannedRun) -> float:
    """Return 1.0, 1.2 and so on by point, 10 % more in odd cycles, plus a little noise."""
    level = 1 + 0.2 * (run.config.n - 1)
    return level * (1 + 0.1 * (run.cycle % 2)) * (1 + NOISE[run.index % 7])


def make_runs(
    n_points: int = 3,
    n_cycles: int = 4,
    *,
    order: str = "shuffled",
    failed: Collection[tuple[int, int]] = (),
    figures: Callable[[PlannedRun], dict[str, Any]] | None = None,
) -> Runs:
    """Return a study whose runs start a minute apart; `failed` lists the (n, cycle) that failed."""
    planned = study(range(1, n_points + 1), n_cycles=n_cycles, cycle_order=order)
    entries, results = [], {}
    for run in schedule(planned):
        entry = ManifestEntry(
            index=run.index, cycle=run.cycle, config_hash=run.config_hash, label=run.label
        )
        entries.append(entry)
        if (run.config.n, run.cycle) not in failed:
            changes = {"started_at": f"2026-01-01T00:{run.index:02}:00+00:00"}
            measured = figures(run) if figures else {"energy_per_output_token_j": joules(run)}
            results[run.index] = make_result(run.config, **changes | measured)
    return entries, results


def compare(runs: Runs, order: str = "shuffled") -> Comparisons:
    return compare_points(*runs, order)


def test_points_are_compared_with_the_point_of_lowest_energy_per_token() -> None:
    comparisons = compare(make_runs())
    assert (comparisons.figure, comparisons.reference_label) == ("energy_per_output_token_j", "n=1")
    assert [point.label for point in comparisons.points] == ["n=2", "n=3"]
    for point, ratio in zip(comparisons.points, (1.2, 1.4), strict=True):
        assert point.ratio == pytest.approx(ratio, rel=0.005)
        assert point.ci95_low < point.ratio < point.ci95_high
        assert point.distinguishable
    # The 10 % between cycles are removed, so only the noise of each run remains.
    assert comparisons.residual_cv is not None
    assert comparisons.residual_cv < 0.005
    assert (
        comparisons.n_blocks,
        comparisons.n_unused,
        comparisons.left_out,
        comparisons.reason,
    ) == (4, 0, (), None)


def test_points_that_differ_by_less_than_their_spread_are_not_distinguishable() -> None:
    comparisons = compare(
        make_runs(figures=lambda run: {"energy_per_output_token_j": 1 + NOISE[run.index % 7]})
    )
    assert [point.distinguishable for point in comparisons.points] == [False, False]
    assert all(point.ci95_low < 1 < point.ci95_high for point in comparisons.points)


def test_without_energy_points_are_compared_by_speed() -> None:
    comparisons = compare(
        make_runs(
            figures=lambda run: {
                "energy_per_output_token_j": None,
                "tokens_per_second": 100 * joules(run),
            }
        )
    )
    assert (comparisons.figure, comparisons.reference_label) == ("tokens_per_second", "n=3")
    assert [point.label for point in comparisons.points] == ["n=2", "n=1"]
    assert all(point.ratio < 1 for point in comparisons.points)
    assert set(comparisons.error_budget) == {"statistical"}


def test_a_cycle_with_a_missing_run_is_not_compared() -> None:
    comparisons = compare(make_runs(failed={(2, 3)}))
    assert (comparisons.n_blocks, comparisons.n_unused, comparisons.left_out) == (3, 2, ())
    assert len(comparisons.points) == 2


def test_a_point_that_mostly_failed_is_left_out_and_the_others_keep_their_cycles() -> None:
    comparisons = compare(make_runs(failed={(2, 1), (2, 2), (2, 4)}))
    assert (comparisons.n_blocks, comparisons.n_unused, comparisons.left_out) == (4, 1, ("n=2",))
    assert [point.label for point in comparisons.points] == ["n=3"]


def test_a_point_without_results_is_listed_as_left_out() -> None:
    assert compare(make_runs(failed={(3, cycle) for cycle in range(1, 5)})).left_out == ("n=3",)


@pytest.mark.parametrize(
    ("runs", "order", "reason"),
    [
        (make_runs(n_points=1), "shuffled", "only one point has J per output token"),
        (
            make_runs(failed={(n, c) for n in (1, 2, 3) for c in (1, 2, 3, 4)}),
            "shuffled",
            "no run has",
        ),
        (make_runs(n_cycles=1), "shuffled", "1 complete cycle of the 3 points, but at least 2"),
        (make_runs(2, 2, failed={(1, 1), (2, 2)}), "shuffled", "0 complete cycles of the 2 points"),
        (make_runs(order="sequential"), "sequential", "in sequential order, drift"),
    ],
)
def test_if_nothing_can_be_compared_the_reason_is_given(
    runs: Runs, order: str, reason: str
) -> None:
    comparisons = compare(runs, order)
    assert reason in (comparisons.reason or "")
    assert (comparisons.points, comparisons.reference_hash) == ((), None)
    assert comparisons.n_unused == len(runs[1])


def test_cycles_in_the_same_order_are_compared_with_a_caveat() -> None:
    (caveat,) = compare(make_runs(order="interleaved"), "interleaved").caveats
    assert "drift within a cycle" in caveat
    assert compare(make_runs()).caveats == ()


def test_the_gain_error_of_the_sensor_cancels_only_on_the_same_devices() -> None:
    assert compare(make_runs()).error_budget["gain"].startswith("cancels")
    comparisons = compare(
        make_runs(
            figures=lambda run: {
                "energy_per_output_token_j": joules(run),
                "energy_per_device_j": {f"GPU-{run.config.n}": 1.0},
            }
        )
    )
    assert comparisons.error_budget["gain"].startswith("does not cancel")
    assert "different devices" in comparisons.caveats[0]
    assert comparisons.error_budget["edge"].startswith("does not cancel")


def test_a_run_repeated_after_its_cycle_adds_a_caveat() -> None:
    entries, results = make_runs()
    results[1] = msgspec.structs.replace(results[1], started_at="2026-01-02T00:00:00+00:00")
    (caveat,) = compare((entries, results)).caveats
    assert "repeated after their cycle" in caveat


def test_an_outlier_is_listed_with_its_warnings_and_still_compared() -> None:
    entries, results = make_runs(n_cycles=6)
    hot = msgspec.structs.replace(
        results[8],
        energy_per_output_token_j=1.5 * joules(schedule_run(8)),
        measurement_warnings=("held back by temperature",),
    )
    (outlier,) = find_outliers(entries, {**results, 8: hot})
    assert (outlier.index, outlier.cycle, outlier.label) == (8, 3, entries[7].label)
    assert outlier.ratio == pytest.approx(1.5, rel=0.1)
    assert outlier.warnings == ("held back by temperature",)
    assert find_outliers(entries, results) == ()
    assert compare((entries, {**results, 8: hot})).n_blocks == 6


def schedule_run(index: int) -> PlannedRun:
    planned = study((1, 2, 3), n_cycles=6, cycle_order="shuffled")
    return schedule(planned)[index - 1]
