"""Files of a study that were changed after the study wrote them (STU-10, STU-11, RES-14)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import measures
from fakes.executors import RecordingExecutor
from fakes.studies import only_folder, study

from llem_config import load_study
from llem_runner import (
    StudyError,
    StudyResult,
    changed_files,
    read_manifest,
    read_study_result,
    resume_study,
    run_study,
)
from llem_runner.events import Event, PreflightWarning
from llem_runner.executors import InlineExecutor, LocalExecutor

STUDY = f"""\
model: builtin:tiny-llama
precision: fp32
max_input_tokens: 8
max_output_tokens: 4
pytorch: {{device: cpu}}
sweep: {{n: [1, {measures.BAD_N}]}}
execution: {{cycle_order: sequential, config_gap_seconds: 0, cycle_gap_seconds: 0}}
"""


@pytest.fixture
def half_done(tmp_path: Path) -> Path:
    """A study from a file with two runs, of which the second failed."""
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    run_study(
        file,
        output=tmp_path / "results",
        measure=measures.fails_at_bad_n,
        executor=InlineExecutor(),
    )
    folder = only_folder(tmp_path / "results")
    assert [e.status for e in read_manifest(folder).entries] == ["completed", "failed"]
    return folder


def resume(folder: Path, **arguments: Any) -> StudyResult:
    """Resume in this process, which starts no child processes."""
    return resume_study(folder, **{"executor": InlineExecutor(), **arguments})


def warnings_of(call: Callable[[Callable[[Event], None]], object]) -> list[str]:
    events: list[Event] = []
    call(events.append)
    return [event.warning for event in events if isinstance(event, PreflightWarning)]


def test_an_unchanged_folder_has_no_warning(half_done: Path) -> None:
    assert changed_files(half_done, read_manifest(half_done)) == ()
    resume(half_done, measure=measures.quick)
    assert changed_files(half_done, read_manifest(half_done)) == ()


def test_an_edited_study_result_is_a_warning_until_a_resume_writes_it_again(
    half_done: Path,
) -> None:
    resume(half_done, measure=measures.quick)
    file = half_done / "study_result.json"
    content = file.read_bytes()
    file.write_bytes(content.replace(b'"mean"', b'"mean" ', 1))
    (warning,) = changed_files(half_done, read_manifest(half_done))
    assert warning == (
        "study_result.json is not the file that the study wrote; resume the study to write it again"
    )
    resume(half_done, measure=measures.quick)
    assert changed_files(half_done, read_manifest(half_done)) == ()
    file.unlink()
    assert changed_files(half_done, read_manifest(half_done)) == ()


def test_a_study_file_of_another_study_is_refused(half_done: Path) -> None:
    (half_done / "study.yaml").write_text(STUDY.replace("n: [1", "n: [4"))
    before = (half_done / "manifest.json").read_bytes()
    with pytest.raises(StudyError) as caught:
        resume(half_done, measure=measures.quick)
    assert str(caught.value) == (
        f"{half_done / 'study.yaml'} is not the file that this study was started with (it has "
        "other points or options); to run that file, use `study run` with a copy of it, which "
        "makes a new folder; to continue this study, restore the original file or delete this "
        "one, because a resume needs only study_resolved.json"
    )
    assert (half_done / "manifest.json").read_bytes() == before
    (warning,) = changed_files(half_done, read_manifest(half_done))
    assert warning.endswith("study.yaml is not the file that this study was started with")
    (half_done / "study.yaml").unlink()
    assert resume(half_done, measure=measures.quick).status == "completed"


@pytest.mark.parametrize(
    "text",
    [
        STUDY.replace("cycle_gap_seconds: 0", "cycle_gap_seconds: 0, timeout_seconds: 5"),
        "model: [",
        "model: builtin:tiny-lama\nn: -1\n",
        "",
    ],
)
def test_a_study_file_with_other_options_or_mistakes_is_refused(half_done: Path, text: str) -> None:
    (half_done / "study.yaml").write_text(text)
    with pytest.raises(StudyError, match=r"study\.yaml is not the file") as caught:
        resume(half_done, measure=measures.quick)
    assert "\n" not in str(caught.value)


def test_a_pipe_in_place_of_the_study_file_is_refused_and_does_not_block(half_done: Path) -> None:
    (half_done / "study.yaml").unlink()
    os.mkfifo(half_done / "study.yaml")
    with pytest.raises(StudyError, match=r"study\.yaml is not the file"):
        resume(half_done, measure=measures.quick)


def test_a_study_file_with_another_comment_is_a_warning(half_done: Path) -> None:
    (half_done / "study.yaml").write_text("# my study\n" + STUDY)
    warnings = warnings_of(lambda e: resume(half_done, measure=measures.quick, on_event=e))
    assert [w for w in warnings if "describes the same points and options" in w] != []
    # The file is that of the study from here on, and no run is left that could be compared.
    assert warnings_of(lambda e: resume(half_done, measure=measures.quick, on_event=e)) == [
        w for w in warnings if "study.yaml" not in w and "will not be compared" not in w
    ]


def test_a_study_file_beside_a_study_made_in_python_is_refused(tmp_path: Path) -> None:
    run_study(study(), output=tmp_path, measure=measures.quick, executor=InlineExecutor())
    folder = only_folder(tmp_path)
    (folder / "study.yaml").write_text(STUDY)
    with pytest.raises(StudyError, match=r"study\.yaml is not the file"):
        resume(folder, measure=measures.quick)


@pytest.mark.parametrize("field", ["timeout_seconds", "max_consecutive_failures"])
def test_a_changed_resolved_study_is_refused(half_done: Path, field: str) -> None:
    file = half_done / "study_resolved.json"
    data = json.loads(file.read_text())
    data["execution"][field] = 7
    file.write_text(json.dumps(data))
    with pytest.raises(StudyError) as caught:
        resume(half_done, measure=measures.quick)
    assert str(caught.value) == (
        f"{file} was changed after the study started, so new runs would not be comparable with "
        "the earlier ones; restore it from a copy, or start a new study"
    )
    assert changed_files(half_done, read_manifest(half_done)) == (str(caught.value),)


def test_added_cycles_do_not_count_as_a_change(half_done: Path) -> None:
    resume(half_done, cycles=2, measure=measures.quick)
    assert changed_files(half_done, read_manifest(half_done)) == ()
    assert resume(half_done, cycles=3, measure=measures.quick).summary.completed == 6


def test_a_result_edited_by_hand_runs_again_with_a_warning(half_done: Path) -> None:
    entry = read_manifest(half_done).entries[0]
    file = half_done / str(entry.result_file)
    edited = file.read_text().replace('"tokens_per_second": ', '"tokens_per_second": 9')
    file.write_text(edited)
    sentence = f"the result of run 1 ({entry.result_file}) is not the file that the run wrote"
    assert changed_files(half_done, read_manifest(half_done)) == (sentence,)
    warnings = warnings_of(lambda e: resume(half_done, measure=measures.quick, on_event=e))
    assert f"{sentence}; the run is repeated" in warnings
    assert file.with_name("result.json.old").read_text() == edited
    assert [e.attempts for e in read_manifest(half_done).entries] == [2, 2]


def test_a_result_replaced_by_that_of_another_cycle_runs_again(tmp_path: Path) -> None:
    """It belongs to the same point, so its hash is right."""
    run_study(
        study((1,), n_cycles=2),
        output=tmp_path,
        measure=measures.quick,
        executor=InlineExecutor(),
    )
    folder = only_folder(tmp_path)
    first, second = (folder / name for name in read_study_result(folder).result_files)
    shutil.copy(first, second)
    resume(folder, measure=measures.quick)
    assert [e.attempts for e in read_manifest(folder).entries] == [1, 2]


def test_a_folder_without_digests_can_be_resumed_and_gets_them(half_done: Path) -> None:
    file = half_done / "manifest.json"
    data = json.loads(file.read_text())
    for name in ("study_file_sha256", "resolved_sha256", "overrides"):
        del data[name]
    for entry in data["entries"]:
        del entry["executor"], entry["result_sha256"]
    file.write_text(json.dumps({**data, "schema_version": 2}))
    (half_done / "study.yaml").write_text("another: file\n")
    assert changed_files(half_done, read_manifest(half_done)) == ()
    assert resume(half_done, measure=measures.quick).status == "completed"
    manifest = read_manifest(half_done)
    assert manifest.resolved_sha256 is not None
    assert [entry.result_sha256 is None for entry in manifest.entries] == [False, False]


@pytest.mark.parametrize(
    ("executor", "name"),
    [
        (None, "local"),
        (LocalExecutor(), "local"),
        (InlineExecutor(), "inline"),
        (RecordingExecutor(), "fakes.executors.RecordingExecutor"),
    ],
)
def test_the_manifest_and_the_result_name_the_executor(
    tmp_path: Path, executor: InlineExecutor | None, name: str
) -> None:
    result = run_study(study(), output=tmp_path, measure=measures.quick, executor=executor)
    assert result.measurement_protocol.executors == (name,)
    entries = read_manifest(only_folder(tmp_path)).entries
    assert {entry.executor for entry in entries} == {name}


def test_a_resume_with_another_executor_is_a_warning(half_done: Path) -> None:
    warnings = warnings_of(
        lambda e: resume(half_done, measure=measures.quick, on_event=e, executor=LocalExecutor())
    )
    (warning,) = [w for w in warnings if "executor" in w]
    assert warning == (
        "runs of this study were measured by the executor inline, the others will be measured by "
        "local, which may change their results; set execution.executor in the settings to inline "
        "to measure all runs in the same way"
    )
    assert read_study_result(half_done).measurement_protocol.executors == ("inline", "local")


def test_a_resume_that_runs_nothing_does_not_warn_of_the_executor(tmp_path: Path) -> None:
    run_study(study(), output=tmp_path, measure=measures.quick, executor=InlineExecutor())
    folder = only_folder(tmp_path)
    warnings = warnings_of(
        lambda e: resume(folder, measure=measures.quick, on_event=e, executor=LocalExecutor())
    )
    assert [w for w in warnings if "executor" in w] == []


def test_flags_of_the_start_apply_to_the_file_that_a_resume_compares(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    overrides = {
        "precision": "bf16",
        "execution": {"cycle_order": "shuffled", "n_cycles": 2, "timeout_seconds": 50},
    }
    run_study(
        load_study(file, overrides=overrides),
        output=tmp_path / "results",
        measure=measures.quick,
        executor=InlineExecutor(),
    )
    folder = only_folder(tmp_path / "results")
    assert read_manifest(folder).overrides == overrides
    again = resume(folder, config=file, measure=measures.raises)
    assert (again.status, again.summary.completed) == ("completed", 4)
    file.write_text(STUDY.replace("execution: {", "execution: {n_cycles: 3, "))
    assert resume(folder, config=file, measure=measures.quick).summary.completed == 6
    file.write_text(STUDY.replace("n: [1", "n: [4"))
    with pytest.raises(StudyError, match="point only requested: n=4"):
        resume(folder, config=file, measure=measures.quick)
