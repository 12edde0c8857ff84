"""The merge of hundreds of runs gives the same bytes, in any order of its attempts and at once."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from fakes.shard_studies import divided

from benchmarks.runner.simulated_attempts import Simulation
from llem_runner import read_study_result
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner.shards import merge_study

N_POINTS, N_CYCLES, N_SHARDS = 40, 10, 4
_MERGE = "import sys; from llem_runner.shards import merge_study; merge_study(sys.argv[1])"
_FILES = ("manifest.json", "study_result.json")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study of 400 runs; some attempts were killed, and some shards ran twice."""
    out = tmp_path_factory.mktemp("simulated")
    folder = divided(out, N_POINTS, N_CYCLES, N_SHARDS).folder
    Simulation(folder, seed=4, killed=0.2, doubled=0.2).write()
    return folder


def attempts_of(folder: Path) -> list[str]:
    divided_folder = DividedFolder(folder)
    return [
        each.path.relative_to(folder).as_posix()
        for shard in divided_folder.read_plan().shards
        for each in divided_folder.attempts(shard.number)
    ]


def empty_copy(folder: Path, out: Path) -> Path:
    """Copy a study without its attempts."""
    names = {Path(name).name for name in attempts_of(folder)}
    shutil.copytree(folder, out, ignore=lambda _, found: names.intersection(found))
    return out


def add(attempts: Iterable[str], folder: Path, to: Path) -> None:
    for name in attempts:
        shutil.copytree(folder / name, to / name)


def merged(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in _FILES}


def test_a_simulated_study_is_whole(simulated: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(simulated, folder)
    assert len(attempts_of(folder)) > N_CYCLES * N_SHARDS + 5
    merge_study(folder)
    summary = read_study_result(folder).summary
    assert summary.completed == N_POINTS * N_CYCLES
    assert summary.comparisons is not None
    assert summary.comparisons.n_blocks > N_CYCLES * N_SHARDS
    assert len(summary.comparisons.points) == N_POINTS - 1


@pytest.mark.parametrize("seed", range(2))
def test_the_order_in_which_attempts_are_merged_does_not_matter(
    simulated: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    every = attempts_of(simulated)
    some = chance.sample(every, chance.randint(len(every) // 2, len(every)))
    at_once = empty_copy(simulated, tmp_path / "at_once")
    add(some, simulated, at_once)
    merge_study(at_once)
    step_by_step = empty_copy(simulated, tmp_path / "step_by_step")
    for part in (some[:7], some[7:20], some[20:]):
        add(part, simulated, step_by_step)
        merge_study(step_by_step)
    assert merged(step_by_step) == merged(at_once)
    merge_study(step_by_step)
    assert merged(step_by_step) == merged(at_once)


def test_several_merges_at_once_give_the_bytes_of_one(simulated: Path, tmp_path: Path) -> None:
    alone, together = (tmp_path / name for name in ("alone", "together"))
    for folder in (alone, together):
        shutil.copytree(simulated, folder)
    merge_study(alone)
    processes = [subprocess.Popen([sys.executable, "-c", _MERGE, together]) for _ in range(3)]
    assert [process.wait(300) for process in processes] == [0] * 3
    assert merged(together) == merged(alone)
    assert [path.name for path in together.iterdir() if path.name.startswith(".")] == []
