"""What a run in progress writes is read without trust in the folder, and gone after a kill (CLI-11)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest
from fakes.measures import hanging, succeeding
from fakes.studies import only_folder, study

from llem_energy.records import LiveDevice, LiveReading
from llem_runner import read_manifest, run_study
from llem_runner.progress import find_run_folder, read_live
from llem_runner.records import ManifestEntry

ENTRY = ManifestEntry(index=3, cycle=2, config_hash="0123456789abcdef", label="", status="running")
READING = LiveReading(
    n_written=7,
    written_at_s=time.time(),
    stage="window",
    devices=(LiveDevice(device="GPU-0", power_w=150.0, temperature_c=None),),
    n_written_again=7,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "study" / "0003_c2_model_01234567"
    run.mkdir(parents=True)
    (run / "live.json").write_bytes(msgspec.json.encode(READING).ljust(4096))
    return run


def test_the_folder_of_a_run_is_found_by_its_entry(folder: Path) -> None:
    assert find_run_folder(folder.parent, ENTRY) == folder
    other = msgspec.structs.replace(ENTRY, cycle=1)
    assert find_run_folder(folder.parent, other) is None
    assert find_run_folder(folder.parent / "absent", ENTRY) is None


def test_a_reading_is_read(folder: Path) -> None:
    assert read_live(folder) == READING


def test_a_file_that_was_read_while_it_was_written_is_no_reading(folder: Path) -> None:
    torn = msgspec.structs.replace(READING, n_written_again=6)
    (folder / "live.json").write_bytes(msgspec.json.encode(torn))
    assert read_live(folder) is None


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[" * 10_000, b"\xff", b'{"stage": "window"}', b" " * (1 << 18)]
)
def test_a_damaged_file_is_no_reading(folder: Path, content: bytes) -> None:
    (folder / "live.json").write_bytes(content)
    assert read_live(folder) is None


def test_no_link_and_no_pipe_is_read(folder: Path, tmp_path: Path) -> None:
    (folder / "live.json").rename(tmp_path / "elsewhere.json")
    (folder / "live.json").symlink_to(tmp_path / "elsewhere.json")
    assert read_live(folder) is None
    (folder / "live.json").unlink()
    os.mkfifo(folder / "live.json")
    assert read_live(folder) is None
    moved = tmp_path / "moved"
    folder.rename(moved)
    folder.symlink_to(moved)
    assert read_live(folder) is None


def test_a_completed_study_leaves_no_such_file(tmp_path: Path) -> None:
    run_study(study(), output=tmp_path / "out", measure=succeeding.quick)
    results = only_folder(tmp_path / "out")
    assert not list(results.rglob("live.json"))
    for entry in read_manifest(results).entries:
        assert entry.result_file is not None
        assert find_run_folder(results, entry) == (results / entry.result_file).parent


def test_the_file_of_a_killed_run_is_deleted(tmp_path: Path) -> None:
    result = run_study(
        study([1], timeout_seconds=5.0),
        output=tmp_path / "out",
        measure=hanging.hangs_with_a_live_file,
    )
    assert result.summary.failed == 1
    (log,) = (tmp_path / "out").rglob("log.txt")
    assert "live file: 4096 bytes" in log.read_text()
    assert not list((tmp_path / "out").rglob("live.json"))
