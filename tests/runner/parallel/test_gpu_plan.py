"""Which GPUs a study on several GPUs uses, and how its cycles are cut for them (STU-09)."""

from __future__ import annotations

import math
from typing import Any

import pytest
from fakes.studies import experiment, study

from llem_config import Settings, StudyConfig
from llem_energy.preflight import Machine, MachineGpu
from llem_runner import StudyError
from llem_runner._parallel.plan import check_points, chosen_gpus
from llem_runner.parallel import shards_per_cycle

UUIDS = ("GPU-a1", "GPU-a2", "GPU-b1")


def machine(**fields: Any) -> Machine:
    gpus = tuple(MachineGpu(uuid, 8 << 30) for uuid in UUIDS)
    return Machine(settings=Settings(), **{"gpus": gpus, "visible_gpus": UUIDS} | fields)


def test_gpus_are_named_by_number_or_uuid() -> None:
    assert chosen_gpus("all", machine()) == UUIDS
    assert chosen_gpus([2, 0], machine()) == ("GPU-b1", "GPU-a1")
    assert chosen_gpus(["GPU-b", 1, "GPU-b1"], machine()) == ("GPU-b1", "GPU-a2")
    # `all` is all that this process may use; a number stays that of the driver.
    assert chosen_gpus("all", machine(visible_gpus=UUIDS[1:])) == UUIDS[1:]
    assert chosen_gpus([1], machine(visible_gpus=UUIDS[1:])) == ("GPU-a2",)


@pytest.mark.parametrize("name", [3, -1, "GPU-a", "GPU-c", "", "MIG-1", 0])
def test_a_gpu_that_is_not_there_or_not_ours_is_refused(name: int | str) -> None:
    with pytest.raises(StudyError, match=r"\(GPU-a2, GPU-b1\), found") as caught:
        chosen_gpus([name], machine(visible_gpus=UUIDS[1:]))
    assert str(caught.value).endswith(f"found {name!r}")


def test_a_machine_without_a_known_gpu_is_refused() -> None:
    with pytest.raises(StudyError, match="expected at least one GPU"):
        chosen_gpus("all", machine(gpus=(), visible_gpus=()))
    with pytest.raises(StudyError, match="cannot tell which"):
        chosen_gpus("all", machine(gpu_problem="cannot tell which of 3 GPUs"))


def test_points_that_use_several_gpus_are_refused() -> None:
    check_points(study())
    spread = experiment(pytorch={"device": "cuda", "device_map": "auto"})
    with pytest.raises(StudyError, match="found 1 of 2 points that spread a model"):
        check_points(StudyConfig(experiments=(experiment(), spread)))


@pytest.mark.parametrize(
    ("n_points", "n_cycles", "n_gpus", "expected"),
    [
        (40, 8, 8, 1),  # each GPU runs one cycle
        (40, 5, 1, 1),
        (40, 4, 8, 2),
        (40, 5, 8, 3),  # 15 shards in 2 rounds of 14 points, instead of 1 of 40
        (8, 3, 8, 1),  # a shard has at least 5 points
        (40, 1, 8, 1),  # one cycle cannot be cut
        (1, 5, 2, 1),
    ],
)
def test_cycles_are_cut_so_that_gpus_are_soon_done_and_precision_is_kept(
    n_points: int, n_cycles: int, n_gpus: int, expected: int
) -> None:
    per_cycle = shards_per_cycle(n_points, n_cycles, n_gpus)
    assert per_cycle == expected
    rounds = math.ceil(per_cycle * n_cycles / n_gpus)
    assert rounds * math.ceil(n_points / per_cycle) <= math.ceil(n_cycles / n_gpus) * n_points
