"""Kinds of machines: which runs of a study cannot be compared with the others, and why (STU-09)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from fakes.machines import GPU, on_machine, on_processor
from fakes.results import make_result
from fakes.studies import experiment

from llem_energy import ExperimentResult
from llem_runner._analysis.machine_kinds import OtherKinds, kinds_of, other_kinds
from llem_runner._analysis.machines import other_differences


def result(n: int = 1, **changes: Any) -> ExperimentResult:
    return make_result(experiment(n=n), **changes)


def judged(*results: ExperimentResult) -> OtherKinds:
    """Return what is said of runs with the numbers 1, 2, ..."""
    return other_kinds(kinds_of(dict(enumerate(results, 1))))


@pytest.mark.parametrize(
    ("gpu", "words"),
    [
        ({"name": "A100"}, "GPU A100 instead of H200"),
        ({"power_limit_w": 500.0}, "power limit 500 W instead of 700 W"),
        ({"power_limit_default_w": 600.0}, "default power limit 600 W instead of 700 W"),
        ({"memory_bytes": 80 << 30}, "memory of the GPU 80 GiB instead of 141 GiB"),
        ({"mig": True}, "MIG on instead of off"),
        (
            {"name": "A100", "power_limit_w": 400.0},
            "GPU A100 instead of H200, power limit 400 W instead of 700 W",
        ),
    ],
)
def test_a_run_on_another_kind_of_machine_is_left_out_with_a_sentence(
    gpu: dict[str, Any], words: str
) -> None:
    usual, other = result(**on_machine()), result(**on_machine("n2", gpu))
    found = judged(usual, usual, other, usual)
    assert found.reasons == {3: f"{words}, which the 3 runs that are kept have"}
    assert found.sentences == (
        f"1 run on n2 is not compared, because the kind of machine is another one: {found.reasons[3]} "
        "(run 3)",
    )
    assert found.caveats == ()


def test_runs_of_one_machine_that_differ_alike_share_a_sentence_with_their_numbers() -> None:
    usual, low = result(**on_machine()), result(**on_machine(gpu={"power_limit_w": 300.0}))
    mig = result(**on_machine("n2", {"mig": True}))
    found = judged(usual, low, low, low, usual, mig, usual, low, usual, usual, mig)
    assert set(found.reasons) == {2, 3, 4, 6, 8, 11}
    first, second = found.sentences
    assert first.startswith("4 runs on n1 are not compared") and first.endswith("(runs 2 to 4, 8)")
    assert second.startswith("2 runs on n2 are not compared") and second.endswith("(runs 6, 11)")


def test_at_a_tie_the_kind_of_the_first_run_is_kept_and_the_sentence_says_so() -> None:
    one, two = result(**on_machine()), result(**on_machine("n2", {"mig": True}))
    found = judged(two, one, one, two)
    assert set(found.reasons) == {2, 3}
    assert found.reasons[2] == (
        "MIG off instead of on, which the 2 runs that are kept have; as many have another kind, and that "
        "of run 1 is kept"
    )
    # Not the one whose results were written first.
    found = other_kinds(dict(reversed(kinds_of({1: two, 2: one, 3: one, 4: two}).items())))
    assert set(found.reasons) == {2, 3}


def test_the_kind_with_the_most_runs_is_kept_of_several() -> None:
    kinds: list[dict[str, Any]] = [{"power_limit_w": 300.0}, {"name": "A100"}, {}]
    runs = [result(**on_machine(gpu=kinds[n % 3])) for n in range(9)]
    found = judged(*runs, result(**on_machine(gpu=kinds[1])))
    assert set(found.reasons) == {1, 3, 4, 6, 7, 9}


def test_what_a_run_does_not_say_is_no_difference_but_a_caveat() -> None:
    usual = result(**on_machine())
    silent = result(**on_machine(gpu={"power_limit_default_w": None, "mig": None}))
    found = judged(silent, usual, silent, silent)
    assert found.reasons == {}
    assert found.caveats == (
        "3 runs do not say their default power limit; compared as if it were 700 W, as in the others",
        "3 runs do not say their MIG; compared as if it were off, as in the others",
    )
    # Runs that say little do not make two kinds equal that differ.
    other = result(**on_machine(gpu={"power_limit_default_w": 500.0}))
    assert set(judged(silent, silent, silent, usual, usual, other).reasons) == {6}


def test_runs_that_say_less_count_for_the_kind_that_they_do_not_contradict() -> None:
    usual, low = result(**on_machine()), result(**on_machine("n2", {"power_limit_w": 300.0}))
    silent = result(**on_machine(gpu={"mig": None}))
    found = judged(usual, usual, silent, silent, low, low, low)
    assert found.reasons == dict.fromkeys(
        (5, 6, 7), "power limit 300 W instead of 700 W, which the 4 runs that are kept have"
    )
    # Also if they do not say in what the kinds differ.
    silent = result(**on_machine(gpu={"power_limit_w": None}))
    found = judged(silent, silent, low, low, low, usual, usual, usual, usual)
    assert found.reasons == dict.fromkeys(
        (3, 4, 5),
        "power limit 300 W instead of 700 W, which 4 of the 6 runs that are kept have; 2 do not say it",
    )


def test_no_sentence_states_a_property_that_no_kept_run_has_in_full() -> None:
    without_mig = result(**on_machine(gpu={"mig": None}))
    without_limit = result(**on_machine(gpu={"power_limit_w": None}))
    other = result(**on_machine("n2", {"power_limit_w": 300.0, "mig": True}))
    assert judged(without_mig, without_limit, other).reasons == {
        3: "power limit 300 W instead of 700 W, MIG on instead of off, which none of the 2 runs that are "
        "kept contradicts"
    }


def test_a_tie_between_runs_that_say_what_most_do_not_is_said() -> None:
    silent = result(**on_machine(gpu={"mig": None}))
    on, off = result(**on_machine(gpu={"mig": True})), result(**on_machine())
    found = judged(silent, silent, silent, on, off)
    assert found.reasons == {
        5: "MIG off instead of on, which 1 of the 4 runs that are kept has; 3 do not say it; as many could "
        "have another kind, and that of run 4 is kept"
    }


def test_drivers_reserve_memory_and_a_board_stays_of_its_kind() -> None:
    a, b = 81559 << 20, 81251 << 20
    runs = [result(**on_machine(gpu={"memory_bytes": size})) for size in (a, b, b)]
    assert judged(*runs).reasons == {}


def test_machines_without_a_gpu_differ_by_their_processor() -> None:
    xeon, epyc = result(**on_processor()), result(**on_processor("n2", "EPYC"))
    found = judged(xeon, xeon, epyc)
    assert found.reasons == {
        3: "processor EPYC instead of Xeon, which the 2 runs that are kept have"
    }
    # With a GPU, the processor is a caveat.
    runs = {1: result(**on_machine()), 2: result(**on_machine("n2", cpu_model="EPYC"))}
    assert other_kinds(kinds_of(runs)).reasons == {}


def test_a_run_without_a_gpu_is_not_compared_with_runs_that_have_one() -> None:
    on_gpu = result(**on_machine())
    anywhere = msgspec.structs.replace(result(**on_processor()), config={})
    found = judged(on_gpu, on_gpu, anywhere)
    assert found.reasons[3].startswith("GPU none instead of H200")


def test_points_on_the_processor_and_on_the_gpu_of_one_machine_are_compared() -> None:
    on_gpu = result(**on_machine())  # the other points ask for the processor: see `TINY`
    on_cpu = msgspec.structs.replace(on_gpu, energy_per_device_j={"package-0": 1.0})
    assert judged(on_cpu, on_gpu, on_gpu).reasons == {}


def test_points_may_use_several_gpus_but_each_the_same_number() -> None:
    boards = tuple(msgspec.structs.replace(GPU, uuid=uuid) for uuid in ("GPU-1", "GPU-2"))
    environment = msgspec.structs.replace(on_machine()["environment_snapshot"], gpus=boards)
    one = {"environment_snapshot": environment, "energy_per_device_j": {"GPU-1": 1.0}}
    two = one | {"energy_per_device_j": {"GPU-1": 1.0, "GPU-2": 1.0}}
    assert judged(result(1, **one), result(2, **two), result(1, **one)).reasons == {}
    assert judged(result(1, **one), result(1, **two), result(1, **one)).reasons == {
        2: "2 GPUs instead of 1, which 2 runs of this point have"
    }
    assert judged(result(1, **two), result(1, **one)).reasons == {
        2: "1 GPU instead of 2, which 1 run of this point has; as many have another number, and that of "
        "run 1 is kept"
    }


def test_a_run_without_a_meter_is_of_the_kind_of_the_gpus_of_its_machine() -> None:
    metered = msgspec.structs.replace(result(**on_machine()), config={})
    alike = msgspec.structs.replace(metered.environment_snapshot, gpus=(GPU, GPU))
    silent = msgspec.structs.replace(metered, energy_per_device_j={}, environment_snapshot=alike)
    assert judged(metered, silent) == ({}, (), ())
    # Of two kinds, it is not known which computed.
    unequal = msgspec.structs.replace(metered, energy_per_device_j={})
    found = judged(metered, unequal)
    assert found.reasons == {} and "1 run does not say its GPU" in found.caveats[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
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
    runs = [result(**on_machine(**usual)), result(**on_machine("n2", **usual | changes))]
    assert judged(*runs).reasons == {}
    (caveat,) = other_differences(runs)
    assert caveat.startswith(f"the machines of the blocks differ in {words}")


def test_equal_machines_and_unused_gpus_are_not_mentioned() -> None:
    one, two = result(**on_machine()), result(**on_machine("n2"))
    assert judged(one, two) == ({}, (), ())
    assert list(other_differences([one, two])) == []
