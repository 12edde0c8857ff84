"""What `study show` says of a study that a cluster has: who starts the runs that are left, and how."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.shard_studies import divided, on_a_node

from llem_cli._commands.study.continuing import Continuing
from llem_cli._commands.study.resume import resume
from llem_cli._commands.study.show import show
from llem_runner import StudyError
from llem_runner._storage.tickets import add_tickets
from llem_runner.clusters import Ticket
from llem_runner.executors import InlineExecutor
from llem_runner.shards import resume_shards, run_shard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A divided study whose six shards Slurm has accepted."""
    folder = divided(tmp_path / "out").folder
    shards = (1, 2, 3, 4, 5, 6)
    add_tickets(folder, [Ticket(cluster="slurm", job="7", shards=shards, submitted_at="")])
    return folder


def said(
    folder: Path,
    states: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: Callable[[Path], object] = show,
) -> str:
    """Return what is printed if Slurm lists the shards with these states."""
    lines = [f"7|{n}|7|{state}|None|n1|0" for n, state in enumerate(states, 1)]
    commands = folder.parent / "bin"
    commands.mkdir()
    (commands / "squeue").write_text("#!/bin/sh\ncat << END\n" + "\n".join(lines) + "\nEND\n")
    (commands / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    command(folder)
    return " ".join(capsys.readouterr().out.split())


def test_before_the_first_run_the_queue_is_named_and_not_a_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(folder, ["PENDING"] * 6, monkeypatch, capsys)
    assert "not running; 6 shards wait, and start when slurm has a place" in text
    assert "study resume" not in text  # it would run them on this machine


def test_between_two_starts_of_a_task_the_study_is_not_to_be_continued_by_hand(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_shard(folder, 1, executor=InlineExecutor(), measure=on_a_node)
    text = said(folder, ["COMPLETED", "PENDING", *["CANCELLED"] * 4], monkeypatch, capsys)
    assert "interrupted; 1 shard waits, and starts when slurm has a place" in text
    assert "study resume" not in text


def test_what_is_left_is_submitted_to_the_same_cluster(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_shard(folder, 1, executor=InlineExecutor(), measure=on_a_node)
    text = said(folder, ["CANCELLED"] * 6, monkeypatch, capsys)
    assert f"interrupted; continue with `llem-cli study resume {folder} --on slurm`" in text


def test_jobs_that_left_nothing_in_the_folder_are_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_shard(folder, 1, executor=InlineExecutor(), measure=on_a_node)
    text = said(folder, ["COMPLETED", "FAILED", "FAILED", *["CANCELLED"] * 3], monkeypatch, capsys)
    assert (
        f"2 jobs ended before the shard began; see what the jobs printed in {folder}/cluster: if nothing is "
        f"there, the machines of the cluster do not see {folder}"
    ) in text


def dry_resume(folder: Path) -> None:
    resume(folder, how=Continuing(on="slurm", dry_run=True))


def test_a_dry_resume_shows_the_shards_that_would_be_submitted_and_no_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLEM_CLUSTERS__SLURM__MAX_ARRAY", "1000")
    states = ["RUNNING", "PENDING", "CANCELLED", "COMPLETED", "FAILED", "PENDING"]
    assert "--array=3-5 " in said(folder, states, monkeypatch, capsys, dry_resume)


def test_a_shard_that_waits_on_the_cluster_is_not_run_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    states = ["COMPLETED", "PENDING", *["CANCELLED"] * 4]
    with pytest.raises(StudyError, match="shard 2 is waiting on its cluster; continue with --on"):
        said(folder, states, monkeypatch, capsys, resume)
    resumed = resume_shards(
        folder, executor=InlineExecutor(), measure=on_a_node, even_if_running=True
    )
    assert resumed.result.status == "completed"
