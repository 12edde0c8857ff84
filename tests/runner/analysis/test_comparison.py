"""The points and cycles that are compared, and the reason if none are compared."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any

import msgspec
import pytest
from fakes.results import make_result
from fakes.studies import study

from llem_energy import ExperimentResult
from llem_energy.records import DataRealism
from llem_runner._analysis.compared_runs import runs_to_compare
from llem_runner._analysis.comparison import compare_points
from llem_runner._analysis.study_drift import find_drift
from llem_runner._analysis.study_outliers import find_outliers
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


def test_each_compared_point_has_its_spread() -> None:
    def figures(run: PlannedRun) -> dict[str, Any]:
        noise = random.Random(run.index).gauss(0, 0.1 if run.config.n == 1 else 0.002)
        return {"energy_per_output_token_j": 1 + noise}

    comparisons = compare(make_runs(4, 6, figures=figures))
    assert comparisons.residual_cv is not None
    spreads = sorted(comparisons.residual_cvs.values())
    assert spreads[:3] == [comparisons.residual_cv] * 3
    assert spreads[3] > 10 * spreads[0]


def test_points_that_differ_by_less_than_their_spread_are_not_distinguishable() -> None:
    comparisons = compare(
        make_runs(
            figures=lambda run: {
                "energy_per_output_token_j": 1 + random.Random(run.index).gauss(0, 0.002)
            }
        )
    )
    assert [point.distinguishable for point in comparisons.points] == [False, False]
    assert all(point.ci95_low < 1 < point.ci95_high for point in comparisons.points)
    assert comparisons.detectable_ratio is not None
    assert 1.001 < comparisons.detectable_ratio < 1.02


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


def test_a_cycle_with_a_missing_run_is_compared_with_the_runs_that_it_has() -> None:
    comparisons = compare(make_runs(failed={(2, 3)}))
    assert (comparisons.n_blocks, comparisons.n_unused, comparisons.left_out) == (4, 0, ())
    # Point 2 lacks its run of an odd cycle, in which every figure is 10 % higher.
    for point, ratio in zip(comparisons.points, (1.2, 1.4), strict=True):
        assert point.ratio == pytest.approx(ratio, rel=0.005)
        assert point.distinguishable
    assert [block.n_runs for block in comparisons.blocks] == [3, 3, 2, 3]
    assert comparisons.blocks[0].ratio == pytest.approx(comparisons.blocks[2].ratio, rel=0.01)
    assert comparisons.blocks[0].ratio > 1 > comparisons.blocks[1].ratio


def test_a_run_that_is_alone_in_its_cycle_is_not_compared() -> None:
    comparisons = compare(make_runs(2, 5, failed={(2, 3)}))
    assert (comparisons.n_blocks, comparisons.n_unused) == (4, 1)


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
        (make_runs(n_cycles=1), "shuffled", "1 complete cycle of the 3 points, but at least 3"),
        (make_runs(n_cycles=2), "shuffled", "2 complete cycles of the 3 points, but at least 3"),
        (make_runs(2, 2, failed={(1, 1), (2, 2)}), "shuffled", "0 complete cycles of the 2 points"),
        (make_runs(order="sequential"), "sequential", "ran in the same order in all cycles"),
        (make_runs(order="interleaved"), "interleaved", "ran in the same order in all cycles"),
    ],
)
def test_if_nothing_can_be_compared_the_reason_is_given(
    runs: Runs, order: str, reason: str
) -> None:
    comparisons = compare(runs, order)
    assert reason in (comparisons.reason or "")
    assert (comparisons.points, comparisons.reference_hash) == ((), None)
    assert comparisons.n_unused == len(runs[1])


def test_shuffled_cycles_that_have_the_same_order_by_chance_are_not_compared() -> None:
    in_one_order = make_runs(2, 3, order="interleaved")
    assert "ran in the same order" in (compare(in_one_order, "shuffled").reason or "")


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


@pytest.mark.parametrize(
    ("precisions", "weights", "n_caveats", "error"),
    [
        (("fp32", "bf16"), "random", 1, "does not cancel: random values"),
        (("fp32", "fp32"), "random", 0, "may cancel in part"),
        (("fp32", "bf16"), "pretrained", 0, "none for these prompts"),
    ],
)
def test_precisions_with_random_weights_have_one_caveat(
    precisions: tuple[str, str], weights: str, n_caveats: int, error: str
) -> None:
    """One sentence for all points, however many differ."""
    entries, results = make_runs(4)
    realism = DataRealism(
        weights="random" if weights == "random" else "trained", tokens="text",
        chat_template=False, ends="own",
    )  # fmt: skip
    for index, result in results.items():
        precision = precisions[result.config["n"] % 2]
        config = result.config | {"precision": precision, "weights": weights}
        results[index] = msgspec.structs.replace(result, config=config, data_realism=realism)
    comparisons = compare((entries, results))
    assert len(comparisons.points) == 3
    caveats = [caveat for caveat in comparisons.caveats if "differ in precision" in caveat]
    assert len(caveats) == n_caveats
    assert comparisons.error_budget["data"].startswith(error)


@pytest.mark.parametrize(
    ("kind", "exactness", "error"),
    [
        ("gpu", "unverified", "does not cancel: a counter of a GPU that was not checked"),
        ("gpu", "late", "does not cancel"),
        ("gpu", "exact", "none: a check found"),
        ("cpu", None, "none where a counter was read"),
    ],
)
def test_a_counter_is_not_said_to_see_everything_unless_it_was_checked(
    kind: str, exactness: str | None, error: str
) -> None:
    entries, results = make_runs()
    for index, result in results.items():
        results[index] = msgspec.structs.replace(
            result, energy_source_kind=kind, counter_exactness=exactness
        )
    assert compare((entries, results)).error_budget["sampling"].startswith(error)


def test_the_error_of_the_data_of_older_results_is_unknown() -> None:
    assert compare(make_runs()).error_budget["data"].startswith("unknown")


def test_points_that_different_meters_measured_are_not_compared() -> None:
    comparisons = compare(
        make_runs(
            figures=lambda run: {
                "energy_per_output_token_j": joules(run),
                "energy_source": "rapl" if run.config.n == 1 else "nvml",
            }
        )
    )
    assert comparisons.points == ()
    assert "different meters (nvml: 8 runs, rapl: 4 runs)" in (comparisons.reason or "")


def test_a_model_beside_a_gpu_that_does_nothing_is_not_compared_with_one_on_it() -> None:
    entries, results = make_runs()
    for index, result in results.items():
        device = "cpu" if result.config["n"] == 1 else "cuda"
        results[index] = msgspec.structs.replace(
            result,
            config=result.config | {"pytorch": {"device": device}},
            energy_source="nvml",
            energy_source_kind="gpu",
        )
    comparisons = compare((entries, results))
    assert comparisons.points == ()
    expected = "different meters (nvml: 8 runs, nvml beside a model on the CPU: 4 runs)"
    assert expected in (comparisons.reason or "")


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


def test_cycles_added_after_a_result_make_the_intervals_wider() -> None:
    runs = make_runs(n_cycles=6)
    planned = compare(runs)
    added = compare_points(*runs, "shuffled", looks=(2, 3, 5))
    assert added.looks == (2, 3, 5)
    # Two cycles were not compared, so that look could not show a false difference.
    (caveat,) = added.caveats
    assert "after the results of 3 and 5 cycles could be seen" in caveat
    assert "99.815 % instead of 95 %" in caveat
    for point, other in zip(added.points, planned.points, strict=True):
        assert point.ratio == other.ratio
        assert point.ci95_high > other.ci95_high
    assert compare_points(*runs, "shuffled", looks=(2,)).points == planned.points


def test_a_study_that_ended_early_has_a_caveat() -> None:
    entries, results = make_runs(n_cycles=6)
    done = {index: result for index, result in results.items() if entries[index - 1].cycle < 5}
    (caveat,) = compare((entries, done)).caveats
    assert "4 of 6 planned cycles have run" in caveat


def test_the_first_run_of_a_cycle_that_is_lower_has_a_caveat() -> None:
    def figures(run: PlannedRun) -> dict[str, Any]:
        is_first = run.index % 3 == 1
        return {"energy_per_output_token_j": joules(run) * (0.95 if is_first else 1)}

    (caveat,) = compare(make_runs(n_cycles=8, figures=figures)).caveats
    assert caveat.startswith("the first run of a cycle is ")
    assert " below the others" in caveat


def test_an_outlier_among_the_compared_runs_has_a_caveat() -> None:
    (caveat,) = compare_points(*make_runs(), "shuffled", outliers=[2]).caveats
    assert caveat.startswith("1 compared run is an outlier")


def test_a_drift_of_all_points_is_reported_with_its_interval() -> None:
    def figures(run: PlannedRun) -> dict[str, Any]:
        level = (1 + 0.2 * run.config.n) * (1 + NOISE[run.index % 7])
        return {"energy_per_output_token_j": level * (1 + 0.03 * run.index / 9)}

    entries, results = make_runs(n_cycles=3, figures=figures)
    drift = find_drift(runs_to_compare(entries, results), results)
    assert drift is not None
    assert drift.distinguishable
    assert drift.ci95_low < 1.027 < drift.ci95_high
    two_cycles = make_runs(n_cycles=2)
    assert find_drift(runs_to_compare(*two_cycles), two_cycles[1]) is None


def schedule_run(index: int) -> PlannedRun:
    planned = study((1, 2, 3), n_cycles=6, cycle_order="shuffled")
    return schedule(planned)[index - 1]
