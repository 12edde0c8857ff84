"""`study extend`: a level is added to a measured study; or refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Run
from fakes import measures
from fakes.studies import TINY
from report.comparison.folders import KnownMeter, make_folder

from llem_cli._app import run
from llem_cli._commands.study.extend import extend
from llem_runner import read_manifest, verify_study
from llem_runner.executors import InlineExecutor
from llem_runner.shards import divide_study, read_plan, resume_shards


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "r", 1, ns=(1,), cycles=3)


def write(path: Path, ns: list[int], **changes: object) -> Path:
    execution = {"config_gap_seconds": 0, "cycle_gap_seconds": 0, "n_cycles": 3}
    path.write_text(json.dumps({**TINY, "sweep": {"n": ns}, "execution": execution, **changes}))
    return path


def test_what_is_refused_is_said_in_one_sentence_and_nothing_is_changed(
    llem: Run, folder: Path, tmp_path: Path
) -> None:
    before = (folder / "manifest.json").read_bytes()
    other = {"warmup": {"n_warmup": 2, "convergence_detection": False}}
    for file, problem in (
        (write(tmp_path / "a.yaml", [1]), "has all 1 points of the study file already"),
        (write(tmp_path / "b.yaml", [1, 2], **other), "warmup.n_warmup 1 -> 2"),
    ):
        refused = llem("study", "extend", folder, "--study", file)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert len(refused.stderr.strip().splitlines()) == 1
        assert problem in refused.stderr
    assert (folder / "manifest.json").read_bytes() == before


def test_a_level_is_added_in_processes_of_their_own(folder: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "c.yaml", [1, 2])
    assert extend(folder, study=file, quiet=True, measure=measures.quick) == 0
    manifest = read_manifest(folder)
    assert (manifest.status, manifest.totals.completed) == ("completed", 9)
    assert {entry.executor for entry in manifest.entries if entry.session == 2} == {"local"}
    assert verify_study(folder, files_only=True).verdict == "intact"


def test_a_level_is_added_to_a_divided_study(tmp_path: Path) -> None:
    folder = divide_study(write(tmp_path / "a.yaml", [1, 2]), output=tmp_path).folder
    resume_shards(folder, executor=InlineExecutor(), measure=KnownMeter(1, 2))
    more = write(tmp_path / "b.yaml", [1, 2, 3])
    assert extend(folder, study=more, quiet=True, measure=measures.quick) == 0
    manifest = read_manifest(folder)
    assert (manifest.status, manifest.totals.completed) == ("completed", 15)
    assert list(manifest.shards[3:]) == [f"shards/000{n}" for n in (4, 5, 6)]
    assert verify_study(folder, files_only=True).verdict == "intact"


@pytest.mark.parametrize(
    ("flags", "code", "problem"),
    [
        (("--time-limit", "nonsense"), 2, "--time-limit: expected a time such as 90s"),
        (("--gpus", "0,,1"), 2, "--gpus: expected `all`, or numbers or UUIDs"),
        (("--gpus", "0", "--wait"), 2, "--wait: expected either --wait or --gpus"),
        (("--gpus", "no-such-gpu"), 1, "gpus: expected `all`, or numbers or UUIDs"),
        (("--on", "slurm", "--time-per-shard", "x"), 2, "time: expected a time"),
    ],
    ids=["time limit", "no number", "wait", "no GPU", "time per shard"],
)
def test_a_wrong_flag_adds_nothing_to_a_divided_study(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    code: int,
    problem: str,
) -> None:
    folder = divide_study(write(tmp_path / "a.yaml", [1, 2]), output=tmp_path).folder
    resume_shards(folder, executor=InlineExecutor(), measure=KnownMeter(1, 2))
    more = str(write(tmp_path / "b.yaml", [1, 2, 3]))
    plan, before = read_plan(folder), sorted(folder.rglob("*"))
    for command in (("resume", "--cycles", "6"), ("extend", "--study", more)):
        assert run(["study", *command, str(folder), *flags]) == code
        shown = capsys.readouterr()
        assert shown.out == ""
        assert problem in shown.err
    assert read_plan(folder) == plan
    assert sorted(folder.rglob("*")) == before


def test_a_wrong_path_or_number_exits_with_2(llem: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", [1])
    assert llem("study", "extend", tmp_path / "absent", "--study", file).returncode == 2
    assert llem("study", "extend", tmp_path, "--study", file, "--anchors", "0").returncode == 2
    assert llem("study", "extend", tmp_path).returncode == 2


def test_new_points_anchors_and_runs_are_named_before_the_first_run(
    llem: Run, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "r", 1, ns=(1, 2, 3), cycles=3)
    file = write(tmp_path / "c.yaml", [4, 5])
    done = llem("study", "extend", folder, "--study", file)
    assert done.returncode == 0, done.stderr
    before, _, _ = done.stderr.partition("run 10 (cycle 4): ")
    assert before != done.stderr
    for line in (
        "note: 2 new points: n=4, n=5",
        "note: 2 old points measured again, to connect old and new (anchors): n=1, n=3",
        "note: 4 points x 3 cycles = 12 runs, in cycles 4 to 6",
    ):
        assert f"{line}\n" in before
    assert "to avoid this next time, name all points before the first run" in before
    assert "12 runs, 9 already completed" in before
