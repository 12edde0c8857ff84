"""Ten ways in which a task is given GPUs: their UUIDs, or one sentence, from the driver on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from energy.parts import with_gpus
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu

CHOICE = """
import json, os, sys
from llem_config import LlemError, Settings
from llem_energy.preflight import Grant, find_machine
from llem_runner.clusters import granted_gpus
names = sys.argv[1].split(",") if sys.argv[1] else None
try:
    gpus = None if names is None else granted_gpus(names, os.environ)
    grant = Grant(gpus=gpus, whole_machine=sys.argv[2] == "whole")
    machine = find_machine(Settings(), grant=grant)
    print(json.dumps(machine.gpu_problem or list(machine.visible_gpus)))
except LlemError as error:
    print(json.dumps(str(error)))
"""
A, B, C = "GPU-aaaa", "GPU-bbbb", "GPU-cccc"
CANNOT = "cannot tell which of 3 GPUs is this job's"


def boards(n: int) -> list[FakeGpu]:
    """Return the boards that the driver shows, whose device files count downwards."""
    return [FakeGpu(uuid=uuid, minor=2 - place) for place, uuid in enumerate((A, B, C)[:n])]


@pytest.mark.parametrize(
    ("n_shown", "granted", "share", "visible", "expected"),
    [
        pytest.param(1, "2", "part", "0", [A], id="control group"),
        pytest.param(3, "0", "part", "0", [C], id="no control group"),
        pytest.param(3, "0,1,2", "whole", "0,1,2", [A, B, C], id="exclusive"),
        pytest.param(3, "0", "part", "MIG-7,MIG-7", ["MIG-7"], id="MIG"),
        pytest.param(3, "", "part", "NoDevFiles", "has given this job no GPU", id="NoDevFiles"),
        pytest.param(3, "1", "part", B, [B], id="UUID"),
        pytest.param(3, "", "part", "", [], id="empty"),
        pytest.param(3, "0,1", "part", "1,1,0", [B, C], id="duplicate"),
        pytest.param(3, "7", "part", "0", CANNOT, id="out of range"),
        pytest.param(3, "", "part", None, CANNOT, id="none named"),
    ],
)
def test_the_gpus_of_a_task_are_known_or_refused(
    library: Path,
    tmp_path: Path,
    n_shown: int,
    granted: str,
    share: str,
    visible: str | None,
    expected: Any,
) -> None:
    env = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    found = with_gpus(CHOICE, library, boards(n_shown), tmp_path, granted, share, env=env)
    if isinstance(expected, str):
        assert isinstance(found, str) and expected in found
    else:
        assert sorted(found) == sorted(expected)


HOLD = """
import json, os, sys
from llem_runner._gpus.locks import hold_gpus
from llem_runner.clusters import granted_gpus
gpus = granted_gpus([sys.argv[1]], os.environ)
with hold_gpus(gpus):
    print(*gpus, flush=True)
    sys.stdin.readline()  # until all tasks hold theirs
"""


def test_tasks_on_one_machine_hold_their_own_gpu_at_the_same_time(
    library: Path, tmp_path: Path
) -> None:
    """Without control groups each sees all boards; none waits, although all hold one at once."""
    # Locks are files of the machine: no other test may hold a GPU of these names.
    shown = [FakeGpu(uuid=f"GPU-{os.getpid()}-{minor}", minor=minor) for minor in (2, 1, 0)]
    fake_nvml.write_trace(tmp_path / "trace", shown)
    env = os.environ | fake_nvml.environment(library, tmp_path / "trace")
    tasks = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(minor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env | {"CUDA_VISIBLE_DEVICES": str(minor)},
        )
        for minor in range(3)
    ]
    held = [task.stdout.readline().strip() for task in tasks if task.stdout]
    codes = [(task.communicate("\n"), task.returncode)[1] for task in tasks]
    assert (held, codes) == ([f"GPU-{os.getpid()}-{minor}" for minor in range(3)], [0, 0, 0])
