"""`run_study(progress=True)`: a line for each run on stderr; and results as one line in Python."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from fakes.measures import BAD_N, fails_at_bad_n, quick
from fakes.results import make_result
from fakes.studies import experiment, study

from llem_runner import resume_study, run_study
from llem_runner.events import Event, RunFinished


def test_progress_prints_a_line_for_each_run_and_still_calls_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[Event] = []
    result = run_study(
        study((1, 2)), output=tmp_path, measure=quick, progress=True, on_event=events.append
    )
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("warning: ") or "2 runs to do; results in" in lines[0]
    assert any(line.startswith("run 1 (cycle 1): ") for line in lines)
    finished = [line for line in lines if " tokens/s, " in line]
    assert len(finished) == 2
    assert "; 1 left, about " in finished[0]
    assert lines[-1] == "completed"
    assert sum(isinstance(event, RunFinished) for event in events) == 2
    resume_study(result.folder or "", progress=True)
    assert "nothing to run; results in" in capsys.readouterr().err


def test_a_failure_is_a_line_with_its_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_study(study((1, BAD_N)), output=tmp_path, measure=fails_at_bad_n, progress=True)
    lines = capsys.readouterr().err.splitlines()
    (failed,) = [line for line in lines if " failed: " in line]
    assert "log.txt" in failed
    assert lines[-1].startswith("failed")
    assert "resume_study(" in lines[-1]


def test_without_progress_nothing_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_study(study((1,)), output=tmp_path, measure=quick)
    assert capsys.readouterr().err == ""


def test_the_result_of_a_study_is_one_line(tmp_path: Path) -> None:
    result = run_study(study((1, 2)), output=tmp_path, measure=quick)
    text = repr(result)
    assert text == f"<StudyResult test: completed, 2 points, 2 of 2 runs, {result.folder}>"
    assert msgspec.to_builtins(result)["study_name"] == "test"  # all fields are still there


def test_the_result_of_an_experiment_is_one_line() -> None:
    result = make_result(experiment())
    expected = (
        "<ExperimentResult builtin:tiny-llama fp32, 50 tokens/s, 2 ± 0.02 J/token (ok), window 1 s>"
    )
    assert repr(result) == expected
    missing = msgspec.structs.replace(result, energy_total_j=None, energy_per_output_token_j=None)
    assert "energy missing" in repr(missing)
