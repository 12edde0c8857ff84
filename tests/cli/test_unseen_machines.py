"""An attempt on another machine that has not ended: what can be told of it, and what overrides that."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from fakes.measures import quick
from fakes.shard_studies import divided

from llem_cli._commands.study.archive import archive
from llem_cli._commands.study.continuing import Continuing
from llem_cli._commands.study.listing import list_
from llem_cli._commands.study.resume import resume
from llem_cli._commands.study.show import show
from llem_cli._commands.study.verify import verify
from llem_report import ReportError
from llem_report._watch.study_state import StudyWatch
from llem_report._watch.view import view_of
from llem_runner import StudyError, is_running
from llem_runner.executors import InlineExecutor
from llem_runner.progress import unseen_processes
from llem_runner.shards import merge_study, run_shard, shard_progress

SEEN_S = 1000
SIGN = r"process 41 on n7 cannot be seen from this machine; last sign of life 1,?0[0-9][0-9] s ago"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A divided study, of whose second shard an attempt on n7 wrote its last file 1000 s ago."""
    plan = divided(tmp_path / "results")
    for number in (1, 2):
        run_shard(plan.folder, number, executor=InlineExecutor(), measure=quick)
    attempt = plan.folder / "shards" / "0002" / "a01"
    record = json.loads((attempt / "attempt.json").read_text())
    there = {"host": "n7", "pid": 41, "boot_id": "another", "machine_id": "another"}
    record |= {"state": "running", "ended_at": None, "process": record["process"] | there}
    (attempt / "attempt.json").write_text(json.dumps(record))
    manifest = json.loads((attempt / "manifest.json").read_text())
    last = manifest["entries"][-1]
    last |= {"status": "running", "result_file": None, "result_sha256": None}
    (attempt / "manifest.json").write_text(json.dumps(manifest))
    next(attempt.glob(f"{last['index']:04d}_*/result.json")).unlink()
    then = time.time() - SEEN_S
    for path in attempt.rglob("*"):
        os.utime(path, (then, then))
    return plan.folder


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_it_is_neither_running_nor_ended(folder: Path) -> None:
    assert is_running(folder) is None
    (process,) = unseen_processes(folder)
    assert (process.shard, process.attempt, process.host, process.pid) == (2, 1, "n7", 41)
    assert process.sign_age_s is not None and SEEN_S <= process.sign_age_s < SEEN_S + 300
    progress = {each.shard: each for each in shard_progress(folder)}
    assert (progress[1].status, progress[2].status) == ("complete", "unknown")
    assert progress[2].reason == str(unseen_processes(folder)[0])


def test_a_file_of_the_run_in_progress_is_a_sign_of_life(folder: Path) -> None:
    attempt = folder / "shards" / "0002" / "a01"
    (running,) = [path for path in attempt.iterdir()
                  if path.is_dir() and not (path / "result.json").exists()]  # fmt: skip
    (running / "log.txt").write_text("alive")
    (process,) = unseen_processes(folder)
    assert process.sign_age_s is not None and process.sign_age_s < 300
    # The clock of the other machine may be ahead.
    os.utime(running / "log.txt", (time.time() + 3600, time.time() + 3600))
    assert unseen_processes(folder)[0].sign_age_s == 0.0


def test_show_says_what_is_known_and_the_flag(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(folder)
    shown = printed(capsys)
    assert "cannot tell whether the study is running: process 41 on n7" in shown
    assert f"llem-cli study resume {folder} --even-if-running`" in shown
    assert "1 unknown" in shown
    show(folder, json_=True)
    data = json.loads(capsys.readouterr().out)
    assert data["running"] is None
    assert (data["unseen"][0]["host"], data["unseen"][0]["shard"]) == ("n7", 2)


def test_the_page_of_a_running_study_says_so_too(folder: Path) -> None:
    state = StudyWatch(folder).look()
    assert state.running is None
    assert "Cannot tell whether the study is running (process 41 on n7" in str(view_of(state))


def test_a_resume_needs_the_flag_and_ends_the_doubt(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StudyError, match=f"{SIGN}, so it may be running; wait .* --even-if-runn"):
        resume(folder, measure=quick, quiet=True)
    assert resume(folder, how=Continuing(even_if_running=True), measure=quick, quiet=True) == 0
    # A later attempt at the shard has ended, so the earlier one can only end.
    assert is_running(folder) is False and unseen_processes(folder) == ()


def test_an_archive_waits_and_names_the_flag(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=rf"\({SIGN}\): wait .*--even-if-running"):
        archive(folder, output=tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_verify_and_the_list_do_not_claim_that_it_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge_study(folder)
    verify(folder, files_only=True)
    shown = printed(capsys)
    assert "the study may be running: an attempt at a shard on another machine" in shown
    assert "the study is running" not in shown
    list_(folder.parent)
    assert " unknown " in printed(capsys)
