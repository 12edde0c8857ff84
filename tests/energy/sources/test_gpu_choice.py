"""The GPUs of a process by UUID, or one sentence why they are not known (STU-06)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from llem_energy.preflight import GpuChoice, Grant, ShownGpu, choose_gpus


def boards(
    n: int, *, minors: Sequence[int] | None = None, names: Sequence[str] | None = None
) -> list[ShownGpu]:
    return [
        ShownGpu(
            uuid=f"GPU-{i}0000000-aa",
            name=names[i] if names else "H200",
            minor=minors[i] if minors else i,
        )
        for i in range(n)
    ]


def uuids(*numbers: int) -> tuple[str, ...]:
    return tuple(f"GPU-{i}0000000-aa" for i in numbers)


def chosen(
    shown: Sequence[ShownGpu], visible: str | None, grant: Grant | None = None, order: str = ""
) -> GpuChoice:
    environment = {"CUDA_DEVICE_ORDER": order} if order else {}
    if visible is not None:
        environment["CUDA_VISIBLE_DEVICES"] = visible
    return choose_gpus(shown, environment, grant)


def test_in_a_control_group_the_only_gpu_is_that_of_the_job() -> None:
    """The number of the variable is local there, and that of the grant is the machine's."""
    assert chosen(boards(1, minors=[5]), "0", Grant(gpus=("5",))).uuids == uuids(0)


def test_without_a_control_group_the_minor_number_of_the_grant_counts() -> None:
    shown = boards(4, minors=[3, 2, 1, 0])
    assert chosen(shown, "3", Grant(gpus=("3",))).uuids == uuids(0)
    assert chosen(shown, None, Grant(gpus=("1", "2"))).uuids == uuids(1, 2)
    assert chosen(shown, "3", Grant(gpus=uuids(0))).uuids == uuids(0)


def test_two_shards_on_one_machine_never_share_a_gpu() -> None:
    shown = boards(8)
    grants = [chosen(shown, str(i), Grant(gpus=(str(i),))).uuids for i in range(8)]
    assert sorted(gpu for each in grants for gpu in each) == sorted(uuids(*range(8)))


def test_a_whole_machine_has_all_of_its_gpus() -> None:
    assert chosen(boards(2), "0,1", Grant(gpus=("0", "1"))).uuids == uuids(0, 1)
    assert chosen(boards(2), None, Grant(whole_machine=True)).uuids == uuids(0, 1)


def test_names_of_mig_instances_are_kept() -> None:
    names = "MIG-2a7e,MIG-GPU-5c/1/0"
    assert chosen(boards(2), names, Grant(gpus=("0:3",))) == GpuChoice(
        ("MIG-2a7e", "MIG-GPU-5c/1/0"), is_limited=True
    )


def test_a_job_without_a_gpu_has_a_sentence_and_no_gpu() -> None:
    choice = chosen(boards(8), "NoDevFiles", Grant())
    assert choice.uuids == ()
    assert choice.problem == (
        "the cluster has given this job no GPU (CUDA_VISIBLE_DEVICES=NoDevFiles); ask it for one"
    )


def test_an_empty_variable_means_no_gpu() -> None:
    assert chosen(boards(2), "") == GpuChoice((), is_limited=True)
    assert chosen(boards(2), "-1") == GpuChoice((), is_limited=True)
    assert chosen(boards(4), "1,-1,2").uuids == uuids(1)


def test_uuids_may_be_shortened_as_long_as_they_are_unique() -> None:
    assert chosen(boards(3), "GPU-2,GPU-00000000-aa").uuids == uuids(2, 0)
    ambiguous, unknown = chosen(boards(3), "GPU-"), chosen(boards(3), "GPU-7")
    assert "which is 3 of the 3 GPUs" in str(ambiguous.problem)
    assert "which is 0 of the 3 GPUs" in str(unknown.problem)
    other = chosen(boards(3), "GPU-1", Grant(gpus=("2",)))  # of another job
    assert "which is 0 of the 1 GPUs" in str(other.problem)


def test_a_number_that_contradicts_the_grant_is_refused() -> None:
    choice = chosen(boards(8), "5", Grant(gpus=("1",)))
    assert choice.problem == (
        "cannot tell which of 8 GPUs is this job's: the cluster gives 1, but "
        "CUDA_VISIBLE_DEVICES=5 is GPU-50000000-aa; set CUDA_VISIBLE_DEVICES to UUIDs"
    )


def test_a_job_whose_gpus_nobody_names_is_refused() -> None:
    choice = chosen(boards(8), None, Grant())
    assert "cannot tell which of 8 GPUs is this job's" in str(choice.problem)
    assert chosen(boards(1), None, Grant()).uuids == uuids(0)


def test_a_grant_that_the_driver_does_not_show_is_refused() -> None:
    choice = chosen(boards(4), "0", Grant(gpus=("GPU-90000000-aa",)))
    assert "the driver shows 0 of them" in str(choice.problem)
    assert chosen(boards(1), None, Grant(gpus=("GPU-90000000-aa",))).problem is not None


@pytest.mark.parametrize("order", ["", "FASTEST_FIRST"])
def test_numbers_of_unequal_boards_need_the_order_of_the_bus(order: str) -> None:
    shown = boards(2, names=["A2", "H200"])
    choice = chosen(shown, "0", order=order)
    assert choice.uuids == uuids(0, 1)  # both are held
    assert "set CUDA_DEVICE_ORDER=PCI_BUS_ID" in str(choice.problem)
    assert chosen(shown, "1", order="PCI_BUS_ID").uuids == uuids(1)


def test_without_cluster_and_variable_every_gpu_may_be_used() -> None:
    assert chosen(boards(2), None) == GpuChoice(uuids(0, 1))
    assert chosen([], None) == GpuChoice()


@pytest.mark.parametrize("variable", ["2", "0,x", "GPU-1,0", "\u00b2", "0,\u0663", "9" * 5000])
def test_a_number_or_word_that_is_no_gpu_is_refused(variable: str) -> None:
    assert "expected numbers below 2" in str(chosen(boards(2), variable).problem)
