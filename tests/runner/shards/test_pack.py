"""Packing the files of runs: what is packed, when, and that nothing is lost on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.packed_studies import complete_study, cut_off, files_below, n_names_below, with_files
from fakes.shard_studies import shuffled

from llem_runner import StudyError, read_manifest, run_study
from llem_runner._executors.inline import InlineExecutor
from llem_runner._storage.packing import pack_runs
from llem_runner._storage.run_files import has_run_file, opened_run_file
from llem_runner.events import Event, Note
from llem_runner.shards import divide_study, merge_study, pack_study, resume_shards, run_shard

OF_ATTEMPT = {"attempt.json", "manifest.json", "runs.zip"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return complete_study(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / made.name))


def content_of(path: Path) -> bytes:
    with opened_run_file(path) as file:
        return file.read()


def assert_all_there(folder: Path, before: dict[str, bytes]) -> None:
    """Every file has its content, by its own path, wherever it is."""
    assert {name: content_of(folder / name) for name in before} == before
    assert all(has_run_file(folder / name) for name in before)


def test_each_attempt_becomes_one_pack_that_any_zip_program_opens(folder: Path) -> None:
    before, n_before = files_below(folder), n_names_below(folder)
    packed = pack_study(folder)
    assert (packed.n_attempts, packed.left) == (6, ())
    attempts = sorted(folder.glob("shards/*/a*"))
    assert len(attempts) == 6
    assert all({path.name for path in each.iterdir()} == OF_ATTEMPT for each in attempts)
    assert n_before - n_names_below(folder) > 100
    assert_all_there(folder, before)
    assert packed.n_files == sum("_c" in name for name in before)
    for attempt in attempts:
        with zipfile.ZipFile(attempt / "runs.zip") as content:
            assert content.testzip() is None
            for name in content.namelist():
                key = f"{attempt.relative_to(folder).as_posix()}/{name}"
                assert content.read(name) == before[key]


def test_packing_again_does_nothing_and_unpacking_by_hand_restores_the_study(folder: Path) -> None:
    before = files_below(folder)
    pack_study(folder)
    packed = files_below(folder)
    assert pack_study(folder).n_files == 0
    assert files_below(folder) == packed
    for pack in folder.glob("shards/*/a*/runs.zip"):
        subprocess.run([sys.executable, "-m", "zipfile", "-e", pack, pack.parent], check=True)
        pack.unlink()
    assert files_below(folder) == before


def test_a_private_log_stays_where_it_is_and_the_results_can_still_be_read(folder: Path) -> None:
    """Of a run that was killed, passwords are not struck out of the log."""
    before, attempt = files_below(folder), folder / "shards/0003/a01"
    log = sorted(attempt.glob("*/log.txt"))[0]
    log.chmod(0o600)
    packed = pack_study(folder)
    assert packed.left == (
        f"{log} can be read by fewer people than the results, so it is not packed",
    )
    assert [*log.parent.iterdir()] == [log]
    assert log.stat().st_mode & 0o777 == 0o600
    packs = sorted(folder.glob("shards/*/a*/runs.zip"))
    results = (folder / "manifest.json").stat().st_mode
    assert [pack.stat().st_mode for pack in packs] == [results] * 6
    assert_all_there(folder, before)
    assert merge_study(folder, write=False).summary.completed == 18


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_pack_can_be_read_by_whom_its_results_can_be_read(folder: Path, mode: int) -> None:
    attempt = folder / "shards/0003/a01"
    for path in attempt.glob("*/*"):
        path.chmod(mode)
    umask = os.umask(0o077)
    try:
        assert pack_runs(attempt).left == ()
    finally:
        os.umask(umask)
    assert (attempt / "runs.zip").stat().st_mode & 0o777 == mode
    # A result that is more private than the pack makes the next pack private too.
    run = attempt / "0001_c1_x_01234567"
    run.mkdir()
    (run / "result.json").write_text("{}")
    (run / "result.json").chmod(0o600)
    pack_runs(attempt)
    assert (attempt / "runs.zip").stat().st_mode & 0o777 == 0o600


def test_an_attempt_with_logs_alone_is_packed_without_the_private_ones(folder: Path) -> None:
    attempt = folder / "shards/0003/a01"
    for path in attempt.glob("*/*"):
        if path.name != "log.txt":
            path.unlink()
    private, *others = sorted(attempt.glob("*/log.txt"))
    private.chmod(0o600)
    assert len(pack_runs(attempt).left) == 1
    assert [*attempt.glob("*/*")] == [private]
    with zipfile.ZipFile(attempt / "runs.zip") as content:
        assert len(content.namelist()) == len(others) > 0


def test_files_of_people_and_incomplete_samples_stay_where_they_are(folder: Path) -> None:
    attempt = folder / "shards/0003/a01"
    runs = sorted(path.parent for path in attempt.glob("*/timeseries.parquet"))
    (runs[0] / "notes.txt").write_text("of a person")
    series = runs[1] / "timeseries.parquet"
    series.write_bytes(series.read_bytes()[:-9])
    resume_shards(folder, executor=InlineExecutor(), measure=with_files)  # runs it again
    packed = pack_study(folder)
    assert packed.left == (f"{series} is incomplete, so its run is not packed",)
    assert [path.name for path in runs[0].iterdir()] == ["notes.txt"]
    assert {path.name for path in runs[1].iterdir()} >= {"result.json", "timeseries.parquet"}
    entries = {entry.index: entry for entry in read_manifest(folder).entries}
    assert entries[int(runs[1].name[:4])].session == 2
    assert merge_study(folder).summary.completed == 18


@pytest.mark.parametrize("is_known", [True, False])
def test_an_attempt_that_may_run_and_a_shard_with_open_runs_are_not_packed(
    folder: Path, is_known: bool
) -> None:
    record = folder / "shards/0003/a01/attempt.json"
    data: dict[str, Any] = json.loads(record.read_text())
    data |= {"state": "running", "ended_at": None}
    if not is_known:
        data["process"] |= {"boot_id": "of another machine", "machine_id": "another"}
    record.write_text(json.dumps(data))
    shutil.rmtree(folder / "shards/0004/a01")
    before = files_below(folder / "shards/0003")
    packed = pack_study(folder)
    running, left = packed.left
    assert left == "shard 4 is not packed, because 5 of its 5 runs are left"
    assert ("is running" in running) is is_known
    assert ("--even-if-running" in running) is not is_known
    assert files_below(folder / "shards/0003") == before
    pack_study(folder, even_if_running=True)
    assert (folder / "shards/0003/a01/runs.zip").exists() is not is_known
    assert not (folder / "shards/0004/a01").exists()


def test_a_study_divided_so_is_packed_by_its_last_attempts_and_by_no_other(tmp_path: Path) -> None:
    events: list[Event] = []
    plan = divide_study(shuffled(10, 2), output=tmp_path, shards=2, pack=True)
    options: dict[str, Any] = {"executor": InlineExecutor(), "measure": with_files}
    run_shard(plan.folder, 1, on_event=events.append, **options)
    attempt = plan.folder / "shards/0001/a01"
    assert {path.name for path in attempt.iterdir()} == OF_ATTEMPT
    # A later start of the shard continues a packing that was stopped.
    with zipfile.ZipFile(attempt / "runs.zip") as content:
        content.extractall(attempt)
    (attempt / "runs.zip").unlink()
    assert run_shard(plan.folder, 1, on_event=events.append, **options).attempt is None
    assert {path.name for path in attempt.iterdir()} == OF_ATTEMPT
    # An attempt that was cut off is left to a person.
    run_shard(plan.folder, 2, **options)
    with zipfile.ZipFile(plan.folder / "shards/0002/a01/runs.zip") as content:
        content.extractall(plan.folder / "shards/0002/a01")
    (plan.folder / "shards/0002/a01/runs.zip").unlink()
    cut_off(plan.folder / "shards/0002/a01")
    run_shard(plan.folder, 2, **options)
    assert not (plan.folder / "shards/0002/a01/runs.zip").exists()
    assert {path.name for path in (plan.folder / "shards/0002/a02").iterdir()} == OF_ATTEMPT
    assert not [event for event in events if isinstance(event, Note)]
    pack_study(plan.folder)
    assert {path.name for path in (plan.folder / "shards/0002/a01").iterdir()} == OF_ATTEMPT


def test_a_study_of_one_machine_is_refused(tmp_path: Path) -> None:
    run_study(shuffled(2, 1), output=tmp_path, executor=InlineExecutor(), measure=with_files)
    (folder,) = tmp_path.iterdir()
    with pytest.raises(StudyError, match="expected a study that was divided by `study submit`"):
        pack_study(folder)


def test_a_pack_with_another_content_than_a_file_beside_it_is_refused(folder: Path) -> None:
    attempt = folder / "shards/0003/a01"
    pack_study(folder)
    name = next(name for name in zipfile.ZipFile(attempt / "runs.zip").namelist() if "log" in name)
    (attempt / name).parent.mkdir()
    (attempt / name).write_text("another log")
    before = files_below(folder)
    with pytest.raises(StudyError, match=r"log\.txt is not the file of this name in .*runs\.zip"):
        pack_study(folder)
    assert files_below(folder) == before


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from llem_runner._storage.packing import pack_runs

source, work = map(Path, sys.argv[1:])
for n in range(1, 1000):
    study = work / f"{n:03d}" / source.name
    shutil.copytree(source, study)
    child = os.fork()
    if child == 0:
        steps = []
        def step(name):
            steps.append(name)
            if len(steps) == n:
                print(name, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
        pack_runs(study / "shards/0003/a01", on_step=step)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        shutil.rmtree(work / f"{n:03d}")
        break
"""


def test_a_kill_at_any_step_loses_nothing_and_packing_again_completes_it(
    made: Path, tmp_path: Path
) -> None:
    small = Path(shutil.copytree(made, tmp_path / "source" / made.name))
    attempt = small / "shards/0003/a01"
    for run in sorted(path for path in attempt.iterdir() if path.is_dir())[:3]:
        shutil.rmtree(run)
    before = files_below(small)
    expected = merge_study(small, write=False)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, small, tmp_path / "killed"],
        capture_output=True,
        text=True,
        check=True,
    )
    steps = done.stdout.split("\n")
    for step in ("listed", "added log.txt", "written", "flushed", "verified", "named"):
        assert step in steps
    assert steps.count("removed result.json") + steps.count("removed log.txt") >= 3
    copies = sorted((tmp_path / "killed").iterdir())
    assert len(copies) == len(steps) - 1 >= 14
    for copy in copies:
        (study,) = copy.iterdir()
        assert_all_there(study, before)
        assert merge_study(study, write=False) == expected
        pack_runs(study / "shards/0003/a01")
        assert {path.name for path in (study / "shards/0003/a01").iterdir()} == OF_ATTEMPT
        assert_all_there(study, before)


def test_several_processes_that_pack_at_once_lose_nothing(folder: Path) -> None:
    before = files_below(folder)
    code = "import sys; from llem_runner.shards import pack_study; pack_study(sys.argv[1])"
    packers = [
        subprocess.Popen([sys.executable, "-c", code, folder], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    errors = [packer.communicate()[1] for packer in packers]
    # One may find that another has removed a file that it was reading, and says so.
    assert all(not error or "no file of them is lost" in error for error in errors), errors
    assert_all_there(folder, before)
    pack_study(folder)
    for attempt in folder.glob("shards/*/a*"):
        assert {path.name for path in attempt.iterdir()} == OF_ATTEMPT
    assert_all_there(folder, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=2M", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(options, check=False).returncode:
        pytest.skip("this machine does not allow mounting a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_leaves_every_file_where_it_is(made: Path, small_disk: Path) -> None:
    folder = Path(shutil.copytree(made, small_disk / made.name))
    before = files_below(folder)
    filler = small_disk / "filler"
    with filler.open("wb", 0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    os.truncate(filler, filler.stat().st_size - 8192)  # the pack begins, and does not fit
    with pytest.raises(StudyError, match=r"No space left on device; no file of them is lost") as no:
        pack_study(folder)
    assert "\n" not in str(no.value)
    assert files_below(folder) == before
    assert not [*folder.rglob(".*.tmp")]
    filler.unlink()
    pack_study(folder)
    assert_all_there(folder, before)
