"""Shards that are added for a cluster: none if it does not answer; after a refusal llem says what is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.studies import TINY
from report.comparison.folders import KnownMeter

from llem_cli._app import run
from llem_runner.executors import InlineExecutor
from llem_runner.shards import divide_study, read_plan, resume_shards

SILENT = 'echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1'
REFUSING = 'echo "sbatch: error: invalid partition specified: gpu" >&2; exit 1'


def write(path: Path, ns: list[int]) -> Path:
    execution = {"config_gap_seconds": 0, "cycle_gap_seconds": 0, "n_cycles": 3}
    path.write_text(json.dumps({**TINY, "sweep": {"n": ns}, "execution": execution}))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = divide_study(write(tmp_path / "a.yaml", [1, 2]), output=tmp_path).folder
    resume_shards(folder, executor=InlineExecutor(), measure=KnownMeter(1, 2))
    return folder


@pytest.fixture(params=["resume", "extend"])
def adding(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> list[str]:
    if request.param == "resume":
        return ["study", "resume", str(folder), "--cycles", "5", "--on", "slurm"]
    more = str(write(tmp_path / "b.yaml", [1, 2, 3]))
    return ["study", "extend", str(folder), "--study", more, "--on", "slurm"]


def use_programs(folder: Path, patch: pytest.MonkeyPatch, **programs: str) -> None:
    """Let no programs be found but some shell scripts, which stand for the commands of Slurm."""
    folder.mkdir()
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    patch.setenv("PATH", str(folder))


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("flags", [(), ("--even-if-running",)], ids=["plain", "even if running"])
@pytest.mark.parametrize(
    ("programs", "code", "problem"),
    [
        ({}, 2, "no Slurm here: expected the command sbatch, found none"),
        (
            {"sbatch": "exit 1", "squeue": SILENT, "scontrol": "exit 1"},
            1,
            "Unable to contact slurm controller",
        ),
    ],
    ids=["no sbatch", "no answer"],
)
def test_nothing_is_added_if_the_cluster_cannot_be_asked(
    folder: Path,
    adding: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    programs: dict[str, str],
    code: int,
    problem: str,
) -> None:
    use_programs(tmp_path / "bin", monkeypatch, **programs)
    before = files(folder)
    assert run([*adding, *flags]) == code
    shown = capsys.readouterr()
    assert problem in shown.err
    assert "added" not in shown.err
    assert files(folder) == before


def test_a_refusal_says_that_the_shards_are_there_and_how_they_are_submitted(
    folder: Path,
    adding: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    programs = {"sbatch": REFUSING, "squeue": "exit 0", "scontrol": "exit 0", "sinfo": "exit 0"}
    use_programs(tmp_path / "bin", monkeypatch, **programs)
    assert run(adding) == 1
    shown = capsys.readouterr()
    again = f"llem-cli study resume {folder} --on slurm"
    assert "there is no such partition" in shown.err
    assert f"the added shards are kept; submit them with `{again}`" in shown.err
    assert len(read_plan(folder).shards) > 3
    (tmp_path / "bin/sbatch").write_text("#!/bin/bash\necho 7\n")
    assert run(again.split()[1:]) == 0
    assert "submitted" in capsys.readouterr().out


def test_a_dry_run_names_new_points_anchors_and_runs(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = str(write(tmp_path / "b.yaml", [1, 2, 3]))
    use_programs(tmp_path / "bin", monkeypatch, sbatch="exit 1", squeue="exit 0", scontrol="exit 1")
    before = files(folder)
    command = ["study", "extend", str(folder), "--study", more, "--on", "slurm", "--dry-run"]
    assert run(command) == 0
    shown = capsys.readouterr()
    for line in (
        "1 new point: n=3",
        "2 old points measured again, to connect old and new (anchors): n=1, n=2",
        "3 points x 3 cycles = 9 runs, in cycles 4 to 6",
        "3 shards would be added: numbers 4 to 6, cycles 4 to 6",
    ):
        assert f"{line}\n" in shown.err
    assert files(folder) == before
