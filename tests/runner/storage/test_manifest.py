"""The manifest, which records the state of every run on disk (STU-08, STU-09, RES-14)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.studies import study

from llem_runner import StudyError, read_manifest
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest_writer import ManifestWriter
from llem_runner.executors import Failed
from llem_runner.plan import PlannedRun, schedule


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def runs() -> tuple[PlannedRun, ...]:
    study_config = study((1, 2), n_cycles=2, cycle_order="interleaved")
    return schedule(study_config)


@pytest.fixture
def writer(layout: Layout, runs: tuple[PlannedRun, ...]) -> ManifestWriter:
    return ManifestWriter.create(layout, "test", "d" * 16, runs)


def on_disk(layout: Layout, index: int) -> dict[str, object]:
    entries = json.loads(layout.manifest.read_text())["entries"]
    entry: dict[str, object] = entries[index - 1]
    return entry


def test_every_planned_run_is_pending_from_the_start(
    writer: ManifestWriter, layout: Layout, runs: tuple[PlannedRun, ...]
) -> None:
    manifest = read_manifest(layout.folder)
    assert manifest.status == "running"
    assert manifest.ended_at is None
    assert [entry.index for entry in manifest.entries] == [1, 2, 3, 4]
    assert {entry.status for entry in manifest.entries} == {"pending"}
    assert manifest.totals.pending == 4
    assert set(manifest.versions) == {"llem-config", "llem-energy", "llem-runner"}


def test_a_completed_run_names_its_result_relative_to_the_folder(
    writer: ManifestWriter, layout: Layout, runs: tuple[PlannedRun, ...]
) -> None:
    result = layout.run_folder(runs[0]) / "result.json"
    result.parent.mkdir()
    result.write_text("{}")
    writer.mark_running(runs[0])
    assert on_disk(layout, 1)["status"] == "running"
    assert on_disk(layout, 1)["attempts"] == 1
    writer.mark_completed(runs[0], result)
    entry = on_disk(layout, 1)
    assert entry["status"] == "completed"
    assert entry["result_file"] == f"{result.parent.name}/result.json"
    assert entry["started_at"]
    assert entry["ended_at"]


def test_a_run_without_a_result_on_disk_cannot_be_completed(
    writer: ManifestWriter, layout: Layout, runs: tuple[PlannedRun, ...]
) -> None:
    writer.mark_running(runs[0])
    with pytest.raises(StudyError, match="not on disk"):
        writer.mark_completed(runs[0], layout.run_folder(runs[0]) / "result.json")
    assert on_disk(layout, 1)["status"] == "running"


def test_a_failed_run_keeps_the_error(
    writer: ManifestWriter, layout: Layout, runs: tuple[PlannedRun, ...]
) -> None:
    writer.mark_running(runs[1])
    writer.mark_failed(runs[1], Failed("BackendError", "too large"))
    entry = on_disk(layout, 2)
    assert (entry["status"], entry["error_type"], entry["error_message"]) == (
        "failed",
        "BackendError",
        "too large",
    )
    assert entry["result_file"] is None


def test_an_interrupted_run_is_not_a_failed_run(
    writer: ManifestWriter, layout: Layout, runs: tuple[PlannedRun, ...]
) -> None:
    writer.mark_running(runs[0])
    writer.mark_interrupted(runs[0])
    assert on_disk(layout, 1)["status"] == "interrupted"
    assert read_manifest(layout.folder).totals.failed == 0


def test_the_same_point_in_two_cycles_has_two_entries(
    writer: ManifestWriter, layout: Layout, runs: tuple[PlannedRun, ...]
) -> None:
    writer.mark_running(runs[0])
    assert on_disk(layout, 1)["config_hash"] == on_disk(layout, 3)["config_hash"]
    assert on_disk(layout, 3)["status"] == "pending"


def test_a_full_disk_leaves_the_old_file_intact_and_is_reported(
    writer: ManifestWriter, layout: Layout, runs: tuple[PlannedRun, ...]
) -> None:
    resource = pytest.importorskip("resource")
    import signal

    before = layout.manifest.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(StudyError, match="previous content is intact"):
            writer.mark_running(runs[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert layout.manifest.read_bytes() == before
    assert [path.name for path in layout.folder.iterdir()] == ["manifest.json"]


def test_an_unknown_field_or_format_is_refused(writer: ManifestWriter, layout: Layout) -> None:
    data = json.loads(layout.manifest.read_text())
    layout.manifest.write_text(json.dumps({**data, "schema_version": 99}))
    with pytest.raises(
        StudyError, match="expected format 1 to 3, found 99, of a newer llem; update llem"
    ):
        read_manifest(layout.folder)
    layout.manifest.write_text(json.dumps({**data, "surprise": 1}))
    with pytest.raises(StudyError, match="surprise"):
        read_manifest(layout.folder)


def test_a_folder_without_a_manifest_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="absent: no such folder; expected the folder of a study"):
        read_manifest(tmp_path / "absent")


def test_the_manifest_of_a_part_of_a_study_keeps_the_order_of_the_part(
    layout: Layout, runs: tuple[PlannedRun, ...]
) -> None:
    """The runs of a part may be in any order, and their indices may have gaps."""
    part = (runs[3], runs[1])
    writer = ManifestWriter.create(layout, "part", "d" * 16, part)
    writer.mark_running(runs[1])
    writer.mark_failed(runs[1], Failed("BackendError", "line 1\nline 2"))
    manifest = read_manifest(layout.folder)
    assert [(entry.index, entry.status) for entry in manifest.entries] == [
        (4, "pending"),
        (2, "failed"),
    ]
    assert manifest.entries[1].error_message == "line 1\nline 2"
    assert (manifest.totals.pending, manifest.totals.failed) == (1, 1)
    assert manifest == writer.manifest


def test_each_entry_is_one_line_of_the_file(writer: ManifestWriter, layout: Layout) -> None:
    lines = layout.manifest.read_text().splitlines()
    assert sum(line.startswith('    {"index":') for line in lines) == 4


def test_a_manifest_without_runs_can_be_read(layout: Layout) -> None:
    ManifestWriter.create(layout, "empty", "d" * 16, ())
    assert read_manifest(layout.folder).entries == ()
