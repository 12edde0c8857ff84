"""The archive of a study that is divided into shards."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.shard_studies import SECONDS, divided, on_a_node

from llem_report import ReportError, analyse, archive_study, describe_methods, export, write_report
from llem_runner import StudyError, read_manifest, verify_study
from llem_runner._executors.inline import InlineExecutor
from llem_runner.archives import open_study
from llem_runner.shards import merge_study, resume_shards, run_shard, shard_progress


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete study, of which one run has two results."""
    monkeypatch.setenv(SECONDS, "0")
    folder = divided(tmp_path / "out", 10, 2, 2).folder
    run_shard(folder, 1, executor=InlineExecutor(), measure=on_a_node)
    hidden = folder / "shards/0001/a01"
    hidden.rename(folder / "shards/0001/hidden")
    run_shard(folder, 1, executor=InlineExecutor(), measure=on_a_node)
    hidden.rename(folder / "shards/0001/a02")
    (folder / "shards/0001/hidden").rename(hidden)
    resume_shards(folder, executor=InlineExecutor(), measure=on_a_node)
    assert read_manifest(folder).n_superseded == 5
    return folder


def test_the_archive_of_a_divided_study_opens_like_its_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "cluster/slurm").mkdir(parents=True)
    (folder / "cluster/slurm/node_energy.json").write_text('{"records": []}')
    (folder / "cluster/slurm/tickets.json").write_text("{}")
    (folder / "shards/0001/a01/notes.txt").write_text("of a person")
    (folder / "cluster/linked").symlink_to(folder / "cluster/slurm")
    (folder / "shards/mine").mkdir()
    (folder / "shards/mine/a.txt").write_text("of a person")
    archive = tmp_path / "a.zip"
    made = archive_study(folder, archive)
    assert made.left_out == (
        "cluster/linked",
        "cluster/slurm/tickets.json",
        "shards/0001/a01/notes.txt",
        "shards/mine",
    )
    assert archive_study(folder, tmp_path / "b.zip").sha256 == made.sha256
    found = verify_study(archive, files_only=True)
    assert (found.verdict, found.is_running) == ("intact", False)
    names = {file.name for file in found.files}
    assert not any(name.endswith(("notes.txt", "tickets.json")) for name in names)
    assert "data/study/cluster/slurm/node_energy.json" in names
    with open_study(archive) as opened:
        assert read_manifest(opened.folder) == read_manifest(folder)
        assert shard_progress(opened.folder) == shard_progress(folder)
        assert merge_study(opened.folder, write=False).summary == merge_study(folder).summary
        assert analyse(opened.folder).n_runs_used == analyse(folder).n_runs_used == 20
    show = [sys.executable, "-m", "llem_cli", "study", "show", str(archive)]
    shown = subprocess.run(show, capture_output=True, text=True, check=True)
    assert "4 shards: 4 complete" in shown.stdout
    assert "5 results not counted" in shown.stdout
    with open_study(archive) as opened:
        assert describe_methods(opened.folder) == describe_methods(folder)
        export(opened.folder, f"{tmp_path}/tables/", format="csv")
        write_report(opened.folder, tmp_path / "report.html")
    assert len((tmp_path / "tables/runs.csv").read_text().splitlines()) == 21


def test_an_archive_has_what_was_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECONDS, "0")
    folder = divided(tmp_path / "out", 10, 2, 2).folder
    for number in (1, 3):
        run_shard(folder, number, executor=InlineExecutor(), measure=on_a_node)
    with pytest.raises(StudyError, match="use `llem-cli study merge"):
        archive_study(folder, tmp_path / "a.zip")
    merge_study(folder)
    archive_study(folder, tmp_path / "a.zip")
    run_shard(folder, 2, executor=InlineExecutor(), measure=on_a_node)
    with pytest.raises(ReportError, match="use `llem-cli study merge"):
        archive_study(folder, tmp_path / "b.zip")


def test_a_study_of_which_a_shard_may_run_is_not_archived(tmp_path: Path) -> None:
    folder = divided(tmp_path / "out", 10, 2, 2).folder
    run_shard(folder, 4, executor=InlineExecutor(), measure=on_a_node)
    record = folder / "shards/0004/a01/attempt.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"state": "running"}))
    merge_study(folder)
    with pytest.raises(ReportError, match="an attempt at a shard that has not ended"):
        archive_study(folder, tmp_path / "a.zip")


def test_a_study_with_a_changed_result_is_not_archived(folder: Path, tmp_path: Path) -> None:
    result = sorted(folder.glob("shards/0002/a01/*/result.json"))[0]
    result.write_text(result.read_text().replace(" ", "  ", 1))
    with pytest.raises(ReportError, match=r"not as the study wrote it: shards/0002/a01/"):
        archive_study(folder, tmp_path / "a.zip")


def test_a_study_whose_shard_was_deleted_is_not_archived(tmp_path: Path) -> None:
    folder = divided(tmp_path / "out", 4, 2, 1).folder
    run_shard(folder, 1, executor=InlineExecutor(), measure=on_a_node)
    merge_study(folder)
    shutil.rmtree(folder / "shards/0002")
    with pytest.raises(ReportError, match=r"shards/0002: expected a folder .* restore it"):
        archive_study(folder, tmp_path / "a.zip")
