"""Machines of one study: which blocks are compared, and what is said of the others (STU-09)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
from fakes.machines import on_machine
from fakes.results import make_result
from fakes.studies import study

from llem_energy import ExperimentResult
from llem_runner._analysis.compared_runs import runs_to_compare
from llem_runner._analysis.comparison import compare_points
from llem_runner._analysis.machine_effects import distant_machines
from llem_runner._analysis.study_drift import find_drift
from llem_runner.plan import schedule
from llem_runner.records import Comparisons, ManifestEntry

Machine = Callable[[int], dict[str, Any]]


def divided(
    machine: Machine, effect: Callable[[int], float], n_cycles: int = 6
) -> tuple[list[ManifestEntry], dict[int, ExperimentResult]]:
    """Return a study of 4 points whose cycle n is a shard on the machine n."""
    planned = study(range(1, 5), n_cycles=n_cycles, cycle_order="shuffled")
    rng = random.Random(1)
    entries, results = [], {}
    for run in schedule(planned):
        entries.append(
            ManifestEntry(
                index=run.index,
                cycle=run.cycle,
                config_hash=run.config_hash,
                label=run.label,
                shard=run.cycle,
                session=1,
            )
        )
        joules = (1 + 0.05 * run.config.n) * effect(run.cycle) * rng.gauss(1, 0.002)
        results[run.index] = make_result(
            run.config, started_at=f"2026-01-01T00:{run.index:02}:00+00:00",
            energy_per_output_token_j=joules, **machine(run.cycle),
        )  # fmt: skip
    return entries, results


def compared(machine: Machine, effect: Callable[[int], float] = lambda _: 1.0) -> Comparisons:
    return compare_points(*divided(machine, effect), "shuffled")


def test_mixed_machines_are_left_out_of_the_comparison_and_named() -> None:
    def machine(cycle: int) -> dict[str, Any]:
        return on_machine(f"n{cycle}", {"power_limit_w": 300.0} if cycle == 3 else {})

    found = compared(machine, lambda cycle: 0.7 if cycle == 3 else 1.0)
    assert found.n_blocks == 5 and found.n_unused == 4
    assert [block.machine for block in found.blocks] == ["n1", "n2", "n4", "n5", "n6"]
    assert found.blocks[0].devices == ("GPU-n1",)
    assert found.left_out_runs == (9, 10, 11, 12)
    assert found.left_out_machines == (
        "4 runs on n3 are not compared, because the kind of machine is another one: power limit 300 W "
        "instead of 700 W, which the 20 runs that are kept have (runs 9 to 12)",
    )
    assert all(point.distinguishable for point in found.points)


def test_a_limit_that_changes_within_a_block_leaves_out_its_later_runs_alone() -> None:
    entries, results = divided(lambda _: on_machine(), lambda _: 1.0)
    low = on_machine(gpu={"power_limit_w": 300.0})["environment_snapshot"]
    results |= {
        index: msgspec.structs.replace(results[index], environment_snapshot=low)
        for index in (11, 12)
    }
    found = compare_points(entries, results, "shuffled")
    assert found.left_out_runs == (11, 12)
    assert found.n_blocks == 6 and found.blocks[2].n_runs == 2


def test_a_point_that_ran_on_the_other_kind_alone_is_left_out_with_its_reason() -> None:
    entries, results = divided(lambda _: on_machine(), lambda _: 1.0)
    low = on_machine(gpu={"power_limit_w": 300.0})["environment_snapshot"]
    alone = [entry.index for entry in entries if entry.label == entries[0].label]
    results |= {
        index: msgspec.structs.replace(results[index], environment_snapshot=low) for index in alone
    }
    found = compare_points(entries, results, "shuffled")
    assert found.left_out == (entries[0].label,)
    assert found.left_out_reasons == (
        "too few results: 6 of its runs are on another kind of machine",
    )
    assert found.left_out_runs == tuple(alone) and len(found.points) == 2


def test_a_machine_far_from_the_others_is_named_and_removed_from_the_ratios() -> None:
    found = compared(lambda c: on_machine(f"n{c}"), lambda c: 1.3 if c == 5 else 1 + 0.001 * c)
    (sentence,) = found.distant_machines
    assert sentence.startswith("GPU-n5 on n5 is 29.")
    assert found.residual_cv is not None and found.residual_cv < 0.004


def test_few_machines_and_usual_differences_name_no_machine() -> None:
    rng, n_named = random.Random(2), 0
    for _ in range(400):
        effects = {f"n{i}": [rng.gauss(0, 0.03)] for i in range(5)}
        n_named += len(list(distant_machines(effects)))
    assert n_named <= 400 * 5 * 0.0027 * 3
    assert list(distant_machines({"n1": [0.0], "n2": [1.0]})) == []


def test_a_gain_cancels_within_blocks_and_not_between_them() -> None:
    one = compared(lambda _: on_machine()).error_budget["gain"]
    several = compared(lambda cycle: on_machine(f"n{cycle}")).error_budget["gain"]
    assert one.startswith("cancels in a ratio of two points, because in each block")
    assert several.startswith("cancels within a block") and "not between blocks" in several
    assert "6 sets of devices" in several


def test_machines_that_run_at_the_same_time_show_no_drift() -> None:
    entries, results = divided(lambda c: on_machine(f"n{c}"), lambda c: 1 + 0.05 * c)
    assert find_drift(runs_to_compare(entries, results), results) is None
    entries, results = divided(lambda _: on_machine(), lambda c: 1 + 0.05 * c)
    assert find_drift(runs_to_compare(entries, results), results) is not None


def test_two_shards_of_one_cycle_are_two_blocks() -> None:
    entries, results = divided(lambda c: on_machine(f"n{c}"), lambda _: 1.0)
    halves = [
        msgspec.structs.replace(each, shard=1 + (each.index - 1) % 4 // 2) for each in entries
    ]
    blocks = runs_to_compare(halves, results).blocks
    assert {len(runs) for runs in blocks.values()} == {2} and len(blocks) == 12
