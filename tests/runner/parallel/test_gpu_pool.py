"""The shards of a study on several scripted GPUs, each in a process of its own (STU-09, STU-10)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from energy.parts import with_gpus
from fakes.fake_nvml import FakeGpu

POOL = """
import json, os, pickle, sys
from fakes import measures
from fakes.studies import study
from llem_config import Settings
from llem_energy import read_result
from llem_runner import Control
from llem_runner.events import PreflightWarning, RunFinished, RunStarted
from llem_runner._parallel.pool import GpuPool, OnGpu
from llem_runner._storage.attempts import read_attempts
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner.shards import divide_study

folder, measure, stops, *gpus = sys.argv[1:]
quiet = Settings.model_validate({"execution": {"config_gap_seconds": 0, "cycle_gap_seconds": 0}})
config = study(range(1, 6), n_cycles=4, cycle_order="shuffled")
plan = divide_study(config, output=folder, settings=quiet)
control, started, finished, warnings = Control(), [], [], []

def on_event(event):
    if isinstance(event, PreflightWarning):
        warnings.append(event.warning)
    elif isinstance(event, OnGpu) and isinstance(event.event, RunStarted):
        started.append([event.gpu, event.shard, event.event.index])
    elif isinstance(event, OnGpu) and isinstance(event.event, RunFinished):
        finished.append([event.gpu, event.shard, event.event.index])
        if stops == "stop" and len(finished) >= 2:
            control.request_stop()

pool = GpuPool(
    DividedFolder(plan.folder), gpus, [shard.number for shard in plan.shards], settings=quiet,
    measure=pickle.dumps(getattr(measures, measure)), control=control, on_event=on_event, retry=0,
    time_limit_s=None,
)
pool.run()
attempts = {}
results = []
for shard in plan.shards:
    read = read_attempts(DividedFolder(plan.folder), shard.number)
    attempts[shard.number] = [
        sorted(e.status for e in each.manifest.entries) if each.manifest else None for each in read
    ]
for path in sorted(plan.folder.glob("shards/*/a*/*/result.json")):
    result = read_result(path)
    results.append([int(path.parents[2].name), result.effective_config])
print(json.dumps({
    "started": started, "finished": finished, "warnings": warnings, "attempts": attempts,
    "results": results, "folder": str(plan.folder),
}))
"""
TESTS = str(Path(__file__).parents[2])


def pooled(library: Path, tmp_path: Path, measure: str, n_gpus: int = 2, stops: str = "") -> Any:
    boards = [FakeGpu(uuid=f"GPU-pool{os.getpid()}-{i}") for i in range(n_gpus)]
    return with_gpus(
        POOL, library, boards, tmp_path, str(tmp_path / "results"), measure, stops,
        *[board.uuid for board in boards], env={"PYTHONPATH": TESTS},
    )  # fmt: skip


def test_each_gpu_runs_one_shard_at_a_time_and_runs_see_only_it(
    library: Path, tmp_path: Path
) -> None:
    seen = pooled(library, tmp_path, "sees_gpus")
    assert len(seen["results"]) == 20 and len(seen["finished"]) == 20
    gpu_of_shard = {shard: gpu for gpu, shard, _ in seen["started"]}
    assert len({gpu for gpu, _, _ in seen["started"]}) == 2
    for shard, effective in seen["results"]:
        assert effective["CUDA_VISIBLE_DEVICES"] == gpu_of_shard[shard]
        assert effective["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    # A shard stays on its GPU, and the next one begins there when it is done.
    for gpu in set(gpu_of_shard.values()):
        shards = [shard for each, shard, _ in seen["started"] if each == gpu]
        assert shards == sorted(shards)
    # They run at the same time: the second GPU begins before the first has finished its shard.
    first_gpu, first_shard, _ = seen["started"][0]
    last = max(i for i, each in enumerate(seen["started"]) if each[1] == first_shard)
    assert {gpu for gpu, _, _ in seen["started"][: last + 1]} != {first_gpu}
    assert seen["warnings"] == []


def test_a_shard_process_that_is_killed_ends_no_other_and_its_shard_runs_again(
    library: Path, tmp_path: Path
) -> None:
    seen = pooled(library, tmp_path, "kills_its_study_once")
    assert len({index for _, _, index in seen["finished"]}) == 20
    (killed,) = [shard for shard, each in seen["attempts"].items() if len(each) == 2]
    (warning,) = seen["warnings"]
    assert f"the process of shard {killed} on GPU" in warning and "signal 9" in warning


def test_a_stop_ends_every_shard_and_leaves_what_can_be_continued(
    library: Path, tmp_path: Path
) -> None:
    seen = pooled(library, tmp_path, "sees_gpus", n_gpus=3, stops="stop")
    assert 0 < len(seen["finished"]) < 20
    states = [state for each in seen["attempts"].values() for a in each if a for state in a]
    assert "running" not in states
    assert states.count("completed") == len(seen["results"])


@pytest.mark.parametrize("measure", ["raises"])
def test_failing_runs_are_booked_and_every_shard_is_tried(
    library: Path, tmp_path: Path, measure: str
) -> None:
    seen = pooled(library, tmp_path, measure)
    assert seen["finished"] == []
    assert len(seen["attempts"]) == 4
    assert all("failed" in attempts[0] for attempts in seen["attempts"].values())
