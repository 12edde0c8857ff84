"""`study extend`: a level is added to a measured study; or refused in one sentence."""

from __future__ import annotations

import json
from hashlib import sha256
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


def digests(folder: Path) -> dict[Path, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_dry_run_writes_nothing_and_says_what_the_extension_says_before_its_first_run(
    llem: Run, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "r", 1, ns=(1, 2, 3), cycles=3)
    (folder / ".lock").unlink(missing_ok=True)  # as in a folder that was copied without it
    file = write(tmp_path / "c.yaml", [4, 5])
    before = digests(folder)
    dry = llem("study", "extend", folder, "--study", file, "--dry-run")
    data = llem("study", "extend", folder, "--study", file, "--dry-run", "--json", "--quiet")
    assert (dry.returncode, data.returncode) == (0, 0), dry.stderr
    assert digests(folder) == before
    said = json.loads(data.stdout)
    assert (said["n_runs"], said["n_completed"], len(said["notes"])) == (12, 9, 3)
    assert "12 runs left, 9 already completed; takes about " in dry.stdout
    assert "nothing was measured or written" in dry.stderr
    assert any("the intervals of the comparison will be wider" in each for each in said["warnings"])

    real = llem("study", "extend", folder, "--study", file)
    assert real.returncode == 0, real.stderr
    first, _, _ = real.stderr.partition("run 10 (cycle 4): ")
    assert first != real.stderr
    # New points, anchors and runs.
    for line in (
        "2 new points: n=4, n=5",
        "2 old points measured again, to connect old and new (anchors): n=1, n=3",
        "4 points x 3 cycles = 12 runs, in cycles 4 to 6",
    ):
        assert f"{line}\n" in dry.stdout
        assert f"note: {line}\n" in first
    assert "to avoid this next time, name all points before the first run" in first
    assert "12 runs left, 9 already completed" in first
    for line in (*said["warnings"], *said["notes"]):
        assert line in dry.stdout
        assert line in first


def test_a_dry_run_is_refused_as_the_extension_is(llem: Run, folder: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", [1])
    refused = llem("study", "extend", folder, "--study", file, "--dry-run")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "has all 1 points of the study file already" in refused.stderr
    resumed = llem("study", "resume", folder, "--dry-run")
    assert resumed.returncode == 2
    assert "--dry-run: expected a study that was divided by `study submit`" in resumed.stderr


def test_a_dry_run_of_a_divided_study_needs_no_cluster(llem: Run, tmp_path: Path) -> None:
    folder = divide_study(write(tmp_path / "a.yaml", [1, 2]), output=tmp_path).folder
    resume_shards(folder, executor=InlineExecutor(), measure=KnownMeter(1, 2))
    before = digests(folder)
    file = write(tmp_path / "b.yaml", [1, 2, 3])
    dry = llem("study", "extend", folder, "--study", file, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "1 new point: n=3" in dry.stderr
    assert "3 shards would be added: numbers 4 to 6, cycles 4 to 6" in dry.stderr
    assert digests(folder) == before


def test_an_extension_whose_time_is_up_keeps_its_points_and_says_how_to_continue(
    llem: Run, folder: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "c.yaml", [1, 2])
    stopped = llem("study", "extend", folder, "--study", file, "--time-limit", "1s")
    assert stopped.returncode == 130, stopped.stderr
    manifest = read_manifest(folder)
    assert (manifest.totals.completed, len(manifest.entries)) == (3, 9)
    last = stopped.stderr.strip().splitlines()[-1]
    assert "continue with" in last
    assert f"study resume {folder}" in last
    resumed = llem("study", "resume", folder)
    assert resumed.returncode == 0, resumed.stderr
    assert read_manifest(folder).totals.completed == 9


def test_too_few_cycles_are_named_where_they_were_given(
    llem: Run, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "few.yaml"
    lines = (
        *(f"{key}: {json.dumps(value)}" for key, value in TINY.items()),
        "sweep: {n: [1, 2]}",
        "execution:",
        "  n_cycles: 2",
    )
    file.write_text("\n".join(lines))
    few = llem("study", "extend", folder, "--study", file)
    assert (few.returncode, few.stdout) == (2, "")
    place = f"{file}:{len(lines)}:13: execution.n_cycles"
    why = "expected at least 3, because points with fewer runs are not compared; found 2"
    assert f"{place}: {why}; write 3 or more" in few.stderr
    flag = llem("study", "extend", folder, "--study", file, "--cycles", "2")
    assert (flag.returncode, flag.stdout) == (2, "")
    assert f"--cycles: {why}; use 3 or more" in flag.stderr
    more = llem("study", "extend", folder, "--study", file, "--cycles", "3", "--dry-run")
    assert more.returncode == 0, more.stderr


def test_the_study_file_is_said_to_be_required(llem: Run, folder: Path) -> None:
    lacking = llem("study", "extend", folder)
    assert lacking.returncode == 2
    assert "--study FILE is required, found none." in lacking.stderr
    assert "e.g. --study more.yaml" in lacking.stderr
