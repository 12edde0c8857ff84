"""A study claims and uses the GPUs that it was given, and no others (STU-06)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from energy.parts import with_gpus
from fakes.fake_nvml import FakeGpu

from llem_runner import StudyError
from llem_runner._gpus.claims import claims_on
from llem_runner._gpus.locks import hold_gpus, why_not_locked
from llem_runner._gpus.private_folder import private_root

STUDY = """
import json, sys
from fakes import measures
from fakes.studies import experiment
from llem_config import LlemError, Settings, StudyConfig
from llem_energy import read_result
from llem_runner import run_study

if __name__ == "__main__":
    options = {"device": sys.argv[2]}
    point = experiment(pytorch=options, energy={"sources": ["none"]})
    settings = Settings.model_validate({"execution": {"config_gap_seconds": 0, "cycle_gap_seconds": 0}})
    try:
        result = run_study(
            StudyConfig(experiments=(point,)), output=sys.argv[1], measure=measures.sees_gpus,
            settings=settings,
        )
    except LlemError as error:
        print(json.dumps(str(error)))
    else:
        print(json.dumps(read_result(result.folder / result.result_files[0]).effective_config))
"""
TESTS = str(Path(__file__).parents[2])


def gpus(n: int, **fields: Any) -> list[FakeGpu]:
    return [FakeGpu(uuid=f"GPU-own{os.getpid()}-{i}", **fields) for i in range(n)]


def studied(
    library: Path, folder: Path, boards: list[FakeGpu], visible: str | None, device: str = "auto"
) -> Any:
    env = {"PYTHONPATH": TESTS} | ({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    return with_gpus(STUDY, library, boards, folder, str(folder / "results"), device, env=env)


def test_a_number_claims_one_gpu_and_runs_get_its_uuid(library: Path, tmp_path: Path) -> None:
    boards = gpus(4)
    # Another study holds another GPU of this machine, and neither blocks the other.
    with hold_gpus([boards[0].uuid]):
        seen = studied(library, tmp_path, boards, "2")
    assert seen["CUDA_VISIBLE_DEVICES"] == boards[2].uuid
    assert seen["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    own = [claim for claim in seen["claims"] if f"-own{os.getpid()}-" in claim]
    assert own == [f"llem-{boards[0].uuid}", f"llem-{boards[2].uuid}"]


def test_without_a_choice_the_variable_stays_unset(library: Path, tmp_path: Path) -> None:
    seen = studied(library, tmp_path, gpus(2), None)
    assert seen["CUDA_VISIBLE_DEVICES"] is None and seen["CUDA_DEVICE_ORDER"] is None


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [("7", "expected numbers below 2"), ("NoDevFiles", "the cluster has given this job no GPU")],
)
def test_a_study_whose_gpus_are_not_known_does_not_start(
    library: Path, tmp_path: Path, variable: str, sentence: str
) -> None:
    assert sentence in studied(library, tmp_path, gpus(2), variable, "cuda")
    assert not (tmp_path / "results").exists()
    assert studied(library, tmp_path, gpus(2), variable, "cpu")["claims"] is not None


GRANTED = """
import json, os, sys
from llem_runner.clusters import granted_gpus
try:
    print(json.dumps(granted_gpus(sys.argv[1:], os.environ)))
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def test_numbers_of_a_cluster_become_uuids(library: Path, tmp_path: Path) -> None:
    boards = [FakeGpu(uuid=f"GPU-{number}", minor=minor) for number, minor in enumerate((2, 0, 1))]
    assert with_gpus(GRANTED, library, boards, tmp_path, "1", "2") == ["GPU-0", "GPU-2"]
    assert with_gpus(GRANTED, library, boards[:1], tmp_path, "2") == ["GPU-0"]
    kind, message = with_gpus(GRANTED, library, boards, tmp_path, "5")
    assert kind == StudyError.__name__ and "cannot tell which of 3 GPUs" in message


SHARED = "36 1 8:1 / / rw - ext4 /dev/root rw\n"


@pytest.mark.parametrize(
    ("line", "root"),
    [
        ("", None),
        ("40 36 0:33 / /tmp rw,nosuid - tmpfs tmpfs rw\n", None),
        ("40 36 8:1 /tmp /tmp rw - ext4 /dev/root rw\n", None),  # a container with its host's
        ("40 36 0:40 /@tmp /tmp rw - btrfs /dev/sda rw,subvol=/@tmp\n", None),
        ("40 36 8:2 /jobs/42/.42 /tmp rw - xfs /dev/sdb rw\n", "/jobs/42/.42"),
        ("damaged\n40 36\n", None),
    ],
)
def test_a_folder_of_a_job_is_told_from_a_shared_one(
    tmp_path: Path, line: str, root: str | None
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(SHARED + line)
    assert private_root(Path("/tmp"), mounts) == root
    sentence = why_not_locked(mounts)
    assert (sentence is None) == (root is None)
    uuid = f"GPU-private-{os.getpid()}"
    with hold_gpus([uuid], mounts=mounts):
        assert len(claims_on(uuid)) == (1 if root is None else 0)


def test_the_mounts_of_this_machine_can_be_read() -> None:
    assert private_root(Path("/proc")) is None
    assert private_root(Path("/tmp"), Path("/absent")) is None


SHARD = """
import json, os, sys
from fakes import measures
from fakes.studies import experiment
from llem_config import Settings, StudyConfig
from llem_energy import read_result
from llem_runner.clusters import Place, granted_gpus
from llem_runner.shards import divide_study, run_shard

class Cluster:
    def here(self, environment):
        gpus = granted_gpus(sys.argv[2:], environment)
        return Place(cluster="scripted", job="1_1", gpus=gpus)

point = experiment(pytorch={"device": "auto"}, energy={"sources": ["none"]})
plan = divide_study(StudyConfig(experiments=(point,)), output=sys.argv[1], settings=Settings())
outcome = run_shard(plan.folder, 1, cluster=Cluster(), measure=measures.sees_gpus)
(result,) = plan.folder.glob("shards/*/a*/*/result.json")
print(json.dumps([outcome.end, read_result(result).effective_config]))
"""


def test_a_task_of_a_cluster_uses_the_gpu_that_the_cluster_names(
    library: Path, tmp_path: Path
) -> None:
    """Without control groups the driver shows every GPU, and numbers are those of device files."""
    boards = [
        FakeGpu(uuid=f"GPU-job{os.getpid()}-{number}", minor=minor)
        for number, minor in enumerate((3, 2, 1, 0))
    ]
    with hold_gpus([board.uuid for board in boards[1:]]):  # by other tasks on this machine
        end, seen = with_gpus(
            SHARD, library, boards, tmp_path, str(tmp_path / "results"), "3",
            env={"PYTHONPATH": TESTS, "CUDA_VISIBLE_DEVICES": "3"},
        )  # fmt: skip
    assert end == "complete"
    assert seen["CUDA_VISIBLE_DEVICES"] == boards[0].uuid
    assert seen["LLEM_OTHER_JOBS"] == "possible"
