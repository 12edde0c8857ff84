"""Other commands while shards are added to a divided study, and what a killed one has left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from fakes.shard_studies import divided, shuffled
from fakes.willing_cluster import Willing
from report.comparison.folders import KnownMeter

from llem_config import Settings, StudyConfig
from llem_energy.preflight import Machine, MachineGpu
from llem_runner import StudyError, read_manifest, read_study
from llem_runner._shards import growth, merge
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.divided_manifest import MergedRuns, merge_runs
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyManifest
from llem_runner._study import extend
from llem_runner._study import growth as study_growth
from llem_runner._study.anchors import MeasuredPoints, measured_points
from llem_runner.executors import InlineExecutor
from llem_runner.shards import add_cycles, add_points, merge_study, read_plan, resume_shards


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten points in three cycles of two shards each, every run with a result."""
    folder = divided(tmp_path_factory.mktemp("results")).folder
    resume_shards(folder, executor=InlineExecutor(), measure=KnownMeter(7, 5))
    return folder


@pytest.fixture
def folder(measured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "study"))


def larger(folder: Path, n_cycles: int) -> tuple[DividedFolder, StudyConfig]:
    """Return a copy of a study with more cycles."""
    copy = Path(shutil.copytree(folder, folder.with_name(f"with_{n_cycles}")))
    add_cycles(copy, n_cycles)
    return DividedFolder(copy), read_study(copy)


def test_two_that_add_at_once_on_two_machines_leave_a_plan_that_fits_its_study(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems lock files only among the processes of one machine."""
    (first, study), (second, _) = larger(folder, 4), larger(folder, 5)
    divided_folder = DividedFolder(folder)
    write_study = Layout.write_study

    def while_the_other_begins(layout: Layout, study: StudyConfig) -> None:
        shutil.copy(second.plan, divided_folder.next_plan)
        merge_study(folder)
        write_study(layout, study)

    monkeypatch.setattr(Layout, "write_study", while_the_other_begins)
    divided_folder.grow(first.read_plan(), study)
    assert divided_folder.plan.read_bytes() == first.plan.read_bytes()
    assert divided_folder.next_plan.read_bytes() == second.plan.read_bytes()
    merge_study(folder)  # the other one may not have written its study yet
    assert len(read_plan(folder).shards) == 8
    shutil.copy(second.layout.resolved, divided_folder.layout.resolved)
    assert len(read_plan(folder).shards) == 10
    merge_study(folder)
    assert divided_folder.plan.read_bytes() == second.plan.read_bytes()
    assert not divided_folder.next_plan.exists()


def test_a_merge_while_points_are_added_reads_the_larger_study(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def before_more_points(divided_folder: DividedFolder) -> MergedRuns:
        merged = merge_runs(divided_folder)
        if len(read_plan(folder).shards) == 6:
            add_points(folder, shuffled(11))
        return merged

    monkeypatch.setattr(merge, "merge_runs", before_more_points)
    assert merge_study(folder).summary.planned == 39


@pytest.mark.parametrize("kind", ["cut off", "link", "pipe", "folder"])
def test_a_damaged_next_plan_of_a_study_that_did_not_become_larger_is_ignored(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    path, target = folder / "shards/next_plan.json", tmp_path / "target"
    target.write_text("{}")
    make: dict[str, Callable[[], object]] = {
        "cut off": partial(path.write_text, "{"),
        "link": partial(path.symlink_to, target),
        "pipe": partial(os.mkfifo, path),
        "folder": path.mkdir,
    }
    make[kind]()
    assert merge_study(folder).summary.completed == 30
    assert read_manifest(folder).totals.completed == 30
    if kind == "folder":
        with pytest.raises(StudyError, match=r"next_plan\.json cannot be written: Is a directory"):
            add_cycles(folder, 4)
        assert len(read_plan(folder).shards) == 6
        path.rmdir()
    assert add_cycles(folder, 4).numbers == (7, 8)
    assert not os.path.lexists(path)
    assert target.read_text() == "{}"


def test_a_damaged_next_plan_of_a_study_that_became_larger_is_needed(folder: Path) -> None:
    larger_study, _ = larger(folder, 4)
    shutil.copy(larger_study.layout.resolved, folder / "study_resolved.json")
    (folder / "shards/next_plan.json").write_text("{")
    expected = r"next_plan\.json is damaged .* restore it from a copy \(the study cannot be read without it"
    for read in (merge_study, read_manifest, partial(add_cycles, cycles=5)):
        with pytest.raises(StudyError, match=expected) as caught:
            read(folder)
        assert "because study_resolved.json is not that of plan.json)" in str(caught.value)


def test_points_that_run_here_need_a_gpu_of_the_same_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The points run on the CPU, so the test says which GPUs there were and are."""

    def on_an_h200(layout: Layout, manifest: StudyManifest) -> MeasuredPoints:
        return measured_points(layout, manifest)._replace(gpus=machine_with("NVIDIA H200").gpus)

    monkeypatch.setattr(study_growth, "measured_points", on_an_h200)
    monkeypatch.setattr(extend, "gpus_used", lambda _, machine: machine.visible_gpus)
    plan = (folder / "shards/plan.json").read_bytes()
    monkeypatch.setattr(growth, "find_machine", lambda: machine_with("NVIDIA A100"))
    with pytest.raises(StudyError, match="not be comparable: GPU NVIDIA H200 -> NVIDIA A100"):
        add_points(folder, shuffled(11))
    assert (folder / "shards/plan.json").read_bytes() == plan
    submitted = add_points(folder, shuffled(11), cluster=Willing(), write=False)
    assert submitted.numbers == (7, 8, 9)  # a login node may have any GPU
    monkeypatch.setattr(growth, "find_machine", lambda: machine_with("NVIDIA H200"))
    assert add_points(folder, shuffled(11)).numbers == (7, 8, 9)


def machine_with(gpu: str) -> Machine:
    gpus = (MachineGpu("GPU-1", 141 << 30, gpu),)
    return Machine(settings=Settings(), gpus=gpus, visible_gpus=("GPU-1",))
