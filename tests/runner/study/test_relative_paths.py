"""A study whose file names a model by a relative path runs and resumes from every directory."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fakes import measures
from fakes.studies import only_folder

from llem_config import load_study
from llem_runner import PreflightError, StudyError, resume_study, run_study

STUDY = """
model: ./mine
weights: random
pytorch: {device: cpu}
energy: {sources: [none]}
n: 1
execution: {config_gap_seconds: 0, cycle_gap_seconds: 0}
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    (work / "mine").mkdir(parents=True)
    (work / "mine" / "config.json").write_text('{"model_type": "llama"}')
    (work / "study.yaml").write_text(STUDY)
    (tmp_path / "elsewhere").mkdir()
    return work


def test_a_study_runs_and_resumes_from_other_directories(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "elsewhere")
    run_study(work / "study.yaml", output=tmp_path / "results", measure=measures.quick)
    folder = only_folder(tmp_path / "results")
    monkeypatch.chdir("/")
    result = resume_study(folder, cycles=2, measure=measures.quick)
    assert result.summary.completed == 2
    shutil.rmtree(work / "mine")
    with pytest.raises(PreflightError, match=f"no model folder {work}/mine"):
        resume_study(folder, cycles=3, measure=measures.quick)


def test_a_missing_model_is_named_by_its_full_path(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(work / "mine")
    # A folder of this name in the working directory is not the one beside the file.
    (tmp_path / "elsewhere" / "mine").mkdir()
    (tmp_path / "elsewhere" / "mine" / "config.json").write_text('{"model_type": "llama"}')
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(PreflightError, match=f"no model folder {work}/mine"):
        run_study(work / "study.yaml", output=tmp_path / "results", measure=measures.quick)


def test_the_same_study_beside_another_model_is_refused(work: Path, tmp_path: Path) -> None:
    run_study(work / "study.yaml", output=tmp_path / "results", measure=measures.quick)
    folder = only_folder(tmp_path / "results")
    shutil.copytree(work, tmp_path / "other")
    other = load_study(tmp_path / "other" / "study.yaml")
    assert other.config_hashes == load_study(work / "study.yaml").config_hashes
    with pytest.raises(StudyError, match=r"model: .*work/mine in the folder, .*other/mine request"):
        resume_study(folder, config=other, measure=measures.quick)
    assert resume_study(folder, config=load_study(work / "study.yaml")).status == "completed"
