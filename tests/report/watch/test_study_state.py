"""What a page shows of a study: its progress and real power only, in whatever state its folder is."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest
from report.tables.folders import study_of
from report.watch.studies import watched_folder, write_live, write_manifest

from llem_report._watch.study_state import StudyWatch, check_watchable
from llem_report._watch.view import View, view_of
from llem_runner import StudyError, read_manifest
from llem_runner._storage.lock import hold


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return watched_folder(tmp_path / "study")


def process(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a folder, as the process that runs the study."""
    return hold(folder / ".lock", str(folder))


def view(watch: StudyWatch) -> View:
    return view_of(watch.look())


def test_a_running_study_shows_its_progress_and_its_run(folder: Path) -> None:
    write_live(folder)
    with process(folder):
        shown = view(StudyWatch(folder))
    texts = shown.texts
    assert texts["sentence"] == "Run 3 of 4 is in progress."
    assert texts["done"] == "2 of 4 runs done"
    assert [texts[name] for name in ("completed", "failed", "pending")] == ["1", "1", "1"]
    assert texts["run"] == "3, cycle 2"
    assert texts["run-stage"] == "window"
    assert texts["power"] == "143 W"
    assert "GPU-1: 143 W, 45" in texts["power-devices"]
    assert shown.attributes["bar-completed"] == {"x": "0", "width": "250"}
    assert shown.attributes["bar-running"] == {"x": "500", "width": "250"}
    assert shown.attributes["power-line"]["d"].startswith("M")
    assert texts["time-left"].startswith(("about ", "unknown"))
    assert texts["report-command"] == ""


def test_no_power_is_shown_without_a_present_reading(folder: Path) -> None:
    with process(folder):
        watch = StudyWatch(folder)
        assert view(watch).texts["power"] == "no reading"
        write_live(folder, age_s=60.0)
        assert view(watch).texts["power"] == "no reading"
        write_live(folder, power_w=None)
        assert view(watch).texts["power"] == "no reading"
        assert view(watch).attributes["power"] == {"class": "big none"}
        write_live(folder, power_w=0.0)  # what a meter reads is shown
        assert view(watch).texts["power"] == "0.0 W"


def test_a_reading_of_a_run_that_was_killed_is_not_the_present_power(folder: Path) -> None:
    write_live(folder)
    texts = view(StudyWatch(folder)).texts
    assert texts["power"] == "no reading"
    assert texts["run"] == "none"
    assert texts["sentence"].startswith("Not running: the process of the study was ended.")
    assert texts["time-left"] == ""


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("completed", "Completed: all runs have a result."),
        ("failed", "Finished with failed runs."),
        ("interrupted", "Stopped (interrupted) with 3 runs to do."),
        ("aborted", "Stopped (aborted) with 3 runs to do."),
    ],
)
def test_a_study_that_has_ended_says_how(folder: Path, status: str, sentence: str) -> None:
    manifest = msgspec.structs.replace(read_manifest(folder), status=status)
    write_manifest(folder, manifest)
    texts = view(StudyWatch(folder)).texts
    assert texts["sentence"].startswith(sentence)
    assert texts["report-command"].startswith(f"`llem-cli study report {folder}`")


def test_a_study_that_has_not_begun_can_be_watched(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "study_resolved.json").write_text(study_of().model_dump_json())
    check_watchable(folder)
    watch = StudyWatch(folder)
    assert view(watch).texts["sentence"] == "The study has not begun its first run."
    assert view(watch).texts["done"] == "\N{EN DASH}"
    watched_folder(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "manifest.json", folder)
    assert view(watch).texts["done"] == "2 of 4 runs done"


def test_a_removed_folder_is_said_and_the_last_state_stays_until_it_is_back(folder: Path) -> None:
    watch = StudyWatch(folder)
    assert view(watch).texts["problem"] == ""
    folder.rename(folder.with_name("moved"))
    texts = view(watch).texts
    assert "the folder is gone" in texts["problem"]
    assert texts["done"] == "2 of 4 runs done"
    folder.with_name("moved").rename(folder)
    assert view(watch).texts["problem"] == ""


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema_version": 3}', b"\xff" * 100])
def test_a_damaged_manifest_is_said_until_it_is_repaired(folder: Path, content: bytes) -> None:
    good = (folder / "manifest.json").read_bytes()
    watch = StudyWatch(folder)
    view(watch)
    (folder / "manifest.json").write_bytes(content)
    check_watchable(folder)
    assert "manifest.json is damaged" in view(watch).texts["problem"]
    assert view(StudyWatch(folder)).texts["sentence"] == "No state."
    (folder / "manifest.json").write_bytes(good)
    assert view(watch).texts["problem"] == ""


def test_nothing_in_the_folder_is_changed(folder: Path) -> None:
    write_live(folder)

    def entries() -> list[tuple[Path, int, int]]:
        return sorted((p, p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*"))

    before = entries()
    watch = StudyWatch(folder)
    for _ in range(3):
        view(watch)
    assert entries() == before


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(StudyError):
            check_watchable(path)
