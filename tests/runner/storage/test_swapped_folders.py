"""Another user of a shared folder swaps the folder of a run for a link while the run measures."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fakes.studies import only_folder, study

from llem_config.foreign_files import ForeignFileError, pinned_folder
from llem_energy._metering.recorder import Recorder
from llem_energy._sources.protocol import Sample
from llem_runner import StudyError, read_manifest, run_study
from llem_runner.events import Event, RunStage, RunStarted

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="opens folders by descriptor")
NAMES = ("requests.parquet", "timeseries.parquet", "result.json", "log.txt")
PRECIOUS = b"the only copy\n"


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder of the user with files that have the names of those of a run."""
    folder = tmp_path / "precious"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(PRECIOUS)
    return folder


def swap(folder: Path, target: Path) -> Path:
    """Replace a folder by a link to another; return where the folder is now."""
    moved = folder.with_name("moved")
    folder.rename(moved)
    folder.symlink_to(target)
    return moved


def check_intact(precious: Path) -> None:
    assert {path.name: path.read_bytes() for path in precious.iterdir()} == dict.fromkeys(
        NAMES, PRECIOUS
    )


def test_a_run_writes_no_file_through_a_link_that_replaces_its_folder(
    tmp_path: Path, precious: Path
) -> None:
    results, moved = tmp_path / "results", []

    def swap_once(event: Event) -> None:
        if isinstance(event, RunStage) and event.stage == "open":
            (run,) = only_folder(results).glob("0001_*")
            moved.append(swap(run, precious))

    with pytest.raises(StudyError, match=r"expected a (regular file|folder), found a link"):
        run_study(study((1,)), output=results, on_event=swap_once)
    assert pq.read_table(moved[0] / "requests.parquet").num_rows > 0
    check_intact(precious)


def test_a_run_whose_folder_is_a_link_when_it_begins_fails(tmp_path: Path, precious: Path) -> None:
    results = tmp_path / "results"

    def swap_once(event: Event) -> None:
        if isinstance(event, RunStarted):
            (run,) = only_folder(results).glob("0001_*")
            swap(run, precious)

    run_study(study((1,)), output=results, on_event=swap_once)
    (entry,) = read_manifest(only_folder(results)).entries
    assert entry.status == "failed"
    assert entry.error_message is not None
    assert "expected a folder, found a link" in entry.error_message
    check_intact(precious)


def test_samples_stay_in_the_folder_that_was_opened(tmp_path: Path, precious: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    samples = [Sample("GPU-0", i / 1000, 1e-6, power_w=250.0) for i in range(10)]
    recorder = Recorder(run / "timeseries.parquet")
    with pinned_folder(run):
        moved = swap(run, precious)
        recorder.add(samples)
        recorder.close()
        assert recorder.between(-1, 1) == samples
    assert pq.read_table(moved / "timeseries.parquet").num_rows == 10
    check_intact(precious)


def test_a_missing_folder_cannot_be_pinned(tmp_path: Path) -> None:
    missing = pinned_folder(tmp_path / "missing")
    with pytest.raises(ForeignFileError, match="missing: cannot be read: No such file"):
        missing.__enter__()
