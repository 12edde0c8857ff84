"""Cycles can be added to a study; every other difference is refused (STU-10, STU-11)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes import measures
from fakes.studies import experiment, model_folder, only_folder, study

from llem_config import StudyConfig
from llem_runner import StudyError, read_manifest, read_study_result, resume_study, run_study
from llem_runner.events import Event, RunStarted


def results_of(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.rglob("result.json")}


@pytest.mark.parametrize("order", ["sequential", "interleaved", "shuffled"])
def test_added_cycles_run_last_and_leave_earlier_results_unchanged(
    tmp_path: Path, order: str
) -> None:
    study_config = study((1, 2), n_cycles=2, cycle_order=order)
    run_study(study_config, output=tmp_path, measure=measures.quick)
    folder = only_folder(tmp_path)
    entries, before = read_manifest(folder).entries, results_of(folder)
    result = resume_study(folder, cycles=3, measure=measures.quick)
    manifest = read_manifest(folder)
    assert manifest.entries[:4] == entries
    assert [entry.cycle for entry in manifest.entries[4:]] == [3, 3]
    assert {e.config_hash for e in manifest.entries[4:]} == set(study_config.config_hashes)
    assert [entry.index for entry in manifest.entries] == [1, 2, 3, 4, 5, 6]
    assert {name: results_of(folder)[name] for name in before} == before
    assert result.measurement_protocol.n_cycles == 3
    assert [point.n_completed for point in result.summary.points] == [3, 3]
    assert resume_study(folder, measure=measures.raises).status == "completed"


def test_added_cycles_are_kept_by_a_resume_after_a_kill(tmp_path: Path) -> None:
    run_study(study((1, 2), n_cycles=2), output=tmp_path, measure=measures.quick)
    folder = only_folder(tmp_path)
    before = (folder / "manifest.json").read_bytes()

    def stop(event: Event) -> None:
        if isinstance(event, RunStarted) and event.index == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resume_study(folder, cycles=3, measure=measures.quick, on_event=stop)
    # The process may also have been killed between writing the study and its manifest.
    (folder / "manifest.json").write_bytes(before)
    result = resume_study(folder, measure=measures.quick)
    assert (result.status, result.summary.planned) == ("completed", 6)


def test_cycles_cannot_be_removed(tmp_path: Path) -> None:
    run_study(study((1, 2), n_cycles=2), output=tmp_path, measure=measures.quick)
    with pytest.raises(StudyError, match="expected at least 2 \\(the study has 2\\), found 1"):
        resume_study(only_folder(tmp_path), cycles=1, measure=measures.quick)


def test_another_study_is_refused_with_a_list_of_the_differences(tmp_path: Path) -> None:
    study_config = study((1, 2), timeout_seconds=100)
    run_study(study_config, output=tmp_path, measure=measures.quick)
    folder = only_folder(tmp_path)
    before = (folder / "manifest.json").read_bytes()
    expected = StudyConfig(
        name="test",
        experiments=(experiment(n=1), experiment(n=3), experiment(n=1, precision="bf16")),
        execution=study_config.execution.model_copy(update={"timeout_seconds": 50.0}),
    )
    with pytest.raises(StudyError) as caught:
        resume_study(folder, config=expected, measure=measures.quick)
    text = str(caught.value)
    assert "point only in the folder: n=2 precision=fp32" in text
    assert "point only requested: n=3 precision=fp32" in text
    assert "point only requested: n=1 precision=bf16" in text
    assert "execution.timeout_seconds: 100.0 in the folder, 50.0 requested" in text
    assert (folder / "manifest.json").read_bytes() == before


def test_the_same_study_with_more_cycles_adds_them(tmp_path: Path) -> None:
    run_study(study((1, 2)), output=tmp_path, measure=measures.quick)
    folder = only_folder(tmp_path)
    result = resume_study(folder, config=study((2, 1), n_cycles=2), measure=measures.quick)
    assert (result.status, result.summary.completed) == ("completed", 4)
    # With the original number of cycles, the added cycles are kept.
    again = resume_study(folder, config=study((1, 2)), measure=measures.raises)
    assert (again.status, again.summary.completed) == ("completed", 4)


def test_a_relative_path_that_leads_to_another_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a point would be the mean of two models."""
    for name in ("first", "other"):
        (tmp_path / name).mkdir()
        model_folder(tmp_path / name)
    monkeypatch.chdir(tmp_path / "first")
    study_config = study().model_copy(update={"experiments": (experiment(model="./model"),)})
    run_study(study_config, output=tmp_path / "results", measure=measures.quick)
    folder = only_folder(tmp_path / "results")
    monkeypatch.chdir(tmp_path / "other")
    with pytest.raises(
        StudyError,
        match=r"\./model: the folder was started with .*first/model, but here .*other/model",
    ):
        resume_study(folder, cycles=5, measure=measures.quick)
    monkeypatch.chdir(tmp_path / "first")
    assert resume_study(folder, cycles=5, measure=measures.quick).summary.completed == 5


def test_another_version_of_llem_is_refused(tmp_path: Path) -> None:
    run_study(study((1, 2)), output=tmp_path, measure=measures.quick)
    folder = only_folder(tmp_path)
    data = json.loads((folder / "manifest.json").read_text())
    data["versions"]["llem-energy"] = "0.0.1"
    (folder / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(StudyError, match=r"llem-energy: the folder was started with 0\.0\.1, but"):
        resume_study(folder, measure=measures.quick)


def test_a_resume_repairs_files_damaged_by_a_power_cut(tmp_path: Path) -> None:
    """Scratch files, an incomplete study result, incomplete samples, a result without an entry."""
    run_study(study((1, 2, 3)), output=tmp_path, measure=measures.writes_samples)
    folder = only_folder(tmp_path)
    third_result = (folder / read_study_result(folder).result_files[2]).read_bytes()
    (folder / ".manifest.json.123.tmp").write_text('{"schema_ver')
    first, second, third = sorted(folder.glob("0*"))
    (first / ".result.json.9.tmp").write_text("")
    (second / "timeseries.parquet").write_bytes(b"PAR1 sampl")
    (folder / "study_result.json").write_text('{"schema_version": 3, "stu')
    data = json.loads((folder / "manifest.json").read_text())
    data["entries"][2] |= {"status": "running", "result_file": None}
    data |= {"status": "running"}
    (folder / "manifest.json").write_text(json.dumps(data))
    result = resume_study(folder, measure=measures.writes_samples)
    assert result.status == "completed"
    assert [entry.attempts for entry in read_manifest(folder).entries] == [1, 2, 1]
    assert (third / "result.json").read_bytes() == third_result
    assert [path.name for path in folder.rglob(".*.tmp")] == []


def test_a_folder_without_a_manifest_and_without_runs_can_be_resumed(tmp_path: Path) -> None:
    run_study(study((1, 2)), output=tmp_path, measure=measures.quick)
    folder = only_folder(tmp_path)
    (folder / "manifest.json").unlink()
    with pytest.raises(StudyError, match="manifest"):  # there are runs without a manifest
        resume_study(folder, measure=measures.quick)
    for run in folder.glob("0*"):
        for file in run.iterdir():
            file.unlink()
        run.rmdir()
    assert resume_study(folder, measure=measures.quick).status == "completed"


def test_a_manifest_of_format_1_is_continued(tmp_path: Path) -> None:
    run_study(study((1, measures.BAD_N)), output=tmp_path, measure=measures.fails_at_bad_n)
    folder = only_folder(tmp_path)
    data = json.loads((folder / "manifest.json").read_text())
    new = ("error_reason", "error_log", "gpu_temperatures_c", "executor", "result_sha256")
    data["entries"] = [{k: v for k, v in e.items() if k not in new} for e in data["entries"]]
    for name in ("first_temperatures_c", "study_file_sha256", "resolved_sha256", "overrides"):
        del data[name]
    (folder / "manifest.json").write_text(json.dumps({**data, "schema_version": 1}))
    assert read_manifest(folder).schema_version == 1
    assert resume_study(folder, measure=measures.quick).status == "completed"
    assert read_manifest(folder).schema_version == 3
