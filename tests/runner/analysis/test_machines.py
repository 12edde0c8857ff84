"""Machines of one study: which blocks are compared, and what is said of the others (STU-09)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from fakes.results import make_result
from fakes.studies import experiment, study

from llem_energy import ExperimentResult
from llem_energy.records import GpuSnapshot
from llem_runner._analysis.compared_runs import runs_to_compare
from llem_runner._analysis.comparison import compare_points
from llem_runner._analysis.machine_effects import distant_machines
from llem_runner._analysis.machines import compare_machines
from llem_runner._analysis.study_drift import find_drift
from llem_runner.plan import schedule
from llem_runner.records import Comparisons, ManifestEntry

GPU = GpuSnapshot(
    index=0, uuid="GPU-1", name="H200", power_limit_w=700.0, power_limit_default_w=700.0, vbios=None,
    memory_bytes=141 << 30, sm_clock_max_mhz=1980.0, application_sm_clock_mhz=None,
    persistence_mode=True, ecc=True, mig=False, compute_mode=0, n_other_processes=0, temperature_c=30.0,
)  # fmt: skip


def on_machine(
    host: str = "n1", gpu: Mapping[str, Any] | None = None, **snapshot: Any
) -> dict[str, Any]:
    """Return the fields of a result that describe its machine."""
    board = msgspec.structs.replace(GPU, uuid=f"GPU-{host}", **(gpu or {}))
    other = msgspec.structs.replace(GPU, uuid="GPU-unused", name="A2", power_limit_w=60.0)
    environment = msgspec.structs.replace(
        make_result(experiment()).environment_snapshot, host=host, gpus=(other, board), **snapshot
    )
    return {"environment_snapshot": environment, "energy_per_device_j": {board.uuid: 100.0}}


def result(**changes: Any) -> ExperimentResult:
    return make_result(experiment(), **changes)


@pytest.mark.parametrize(
    ("gpu", "words"),
    [
        ({"name": "A100"}, "GPU A100, but H200 in the other blocks"),
        ({"power_limit_w": 500.0}, "power limit 500 W, but 700 W in the other blocks"),
        ({"power_limit_w": None}, "power limit unknown, but 700 W in the other blocks"),
        ({"mig": True}, "MIG on, but off in the other blocks"),
        (
            {"name": "A100", "power_limit_w": 400.0},
            "GPU A100, but H200 in the other blocks; power limit 400 W, but 700 W in the other blocks",
        ),
    ],
)
def test_a_block_on_another_kind_of_machine_is_left_out_with_a_sentence(
    gpu: dict[str, Any], words: str
) -> None:
    usual, other = result(**on_machine()), result(**on_machine("n2", gpu))
    found = compare_machines({"a": [usual, usual], "b": [other], "c": [usual]})
    assert found.left_out == {"b": f"1 run on n2 is not compared: {words}"}
    assert found.caveats == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gpu": {"memory_bytes": 80 << 30}}, "the memory of the GPU: 151,397,597,184 bytes, 85"),
        ({"gpu": {"power_limit_default_w": 600.0}}, "the default power limit: 600 W, 700 W"),
        ({"gpu": {"ecc": False}}, "ECC: off, on"),
        ({"driver": "570"}, "the driver: 570, 580"),
        ({"cuda_driver": "12.8"}, "the CUDA version of the driver: 12.8, 13.0"),
        ({"cpu_model": "EPYC"}, "the CPU: EPYC, Xeon"),
        ({"packages": {"torch": "2.8"}}, "packages: numpy 2.0, not installed; torch 2.8, 2.9"),
    ],
)
def test_every_other_difference_is_a_caveat(changes: dict[str, Any], words: str) -> None:
    usual: dict[str, Any] = {
        "driver": "580", "cuda_driver": "13.0", "cpu_model": "Xeon",
        "packages": {"torch": "2.9", "numpy": "2.0"},
    }  # fmt: skip
    blocks = {
        1: [result(**on_machine(**usual))],
        2: [result(**on_machine("n2", **usual | changes))],
    }
    found = compare_machines(blocks)
    assert found.left_out == {}
    (caveat,) = found.caveats
    assert caveat.startswith(f"the machines of the blocks differ in {words}")


def test_equal_machines_and_unused_gpus_are_not_mentioned() -> None:
    one, two = result(**on_machine()), result(**on_machine("n2"))
    assert compare_machines({1: [one], 2: [two]}) == ({}, ())


def test_a_limit_that_changes_within_a_block_leaves_the_block_out() -> None:
    usual, lower = result(**on_machine()), result(**on_machine(gpu={"power_limit_w": 300.0}))
    found = compare_machines({1: [usual, lower], 2: [usual]})
    assert found.left_out == {
        1: "2 runs on n1 are not compared: the GPU, its power limit or MIG changed between them"
    }


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
    assert found.left_out_blocks == (
        "4 runs on n3 are not compared: power limit 300 W, but 700 W in the other blocks",
    )
    assert all(point.distinguishable for point in found.points)


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
