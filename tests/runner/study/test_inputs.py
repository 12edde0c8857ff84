"""A change of a model, adapter or data set between the runs of a study is reported (RES-14)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import measures
from fakes.studies import experiment, model_folder, only_folder

from llem_config import ExecutionConfig, StudyConfig
from llem_energy import read_result
from llem_runner import (
    Control,
    StudyError,
    StudyResult,
    read_manifest,
    read_study_result,
    resume_study,
    run_study,
)
from llem_runner.events import Event, InputChanged, ReadingInputs, RunFinished, StudyStarted
from llem_runner.executors import InlineExecutor


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(model_folder(tmp_path))


def weights_file(n_bytes: int) -> bytes:
    """Return a safetensors file of this size with one tensor of zeros."""
    n_header = 200
    n_values = n_bytes - 8 - n_header
    tensor = {"dtype": "U8", "shape": [n_values], "data_offsets": [0, n_values]}
    header = json.dumps({"weight": tensor}).ljust(n_header).encode()
    return n_header.to_bytes(8, "little") + header + bytes(n_values)


def study_of(model: Path, **execution: Any) -> StudyConfig:
    without_gaps = {"config_gap_seconds": 0.0, "cycle_gap_seconds": 0.0}
    defaults = {"n_cycles": 3, "cycle_order": "interleaved"}
    return StudyConfig(
        name="test",
        experiments=tuple(experiment(model=str(model), weights="pretrained", n=n) for n in (1, 2)),
        execution=ExecutionConfig.model_validate({**without_gaps, **defaults, **execution}),
    )


def run(study: StudyConfig, results: Path, **arguments: Any) -> StudyResult:
    """Run in this process, which starts no child processes."""
    defaults = {"measure": measures.reads_inputs, "executor": InlineExecutor()}
    return run_study(study, output=results, **{**defaults, **arguments})


def after_run(index: int, change: Callable[[], object], events: list[Event]) -> Any:
    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, RunFinished) and event.index == index:
            change()

    return on_event


def swap_weights(model: Path) -> None:
    header = b"{ }"
    content = len(header).to_bytes(8, "little") + header
    (model / "model.safetensors").write_bytes(content)


def test_swapped_weights_are_reported_by_the_name_of_the_file(model: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    result = run(
        study_of(model), tmp_path / "r", on_event=after_run(3, lambda: swap_weights(model), events)
    )
    change = f"run 4 read another model.safetensors of the model {model} than run 3"
    assert [e for e in events if isinstance(e, InputChanged)] == [InputChanged(4, change)]
    folder = only_folder(tmp_path / "r")
    assert read_manifest(folder).input_changes == (change,)
    assert read_study_result(folder).summary.input_changes == (change,)
    comparisons = result.summary.comparisons
    assert comparisons is not None
    assert comparisons.points == ()
    assert comparisons.reason == "not all runs measured the same files"
    digests = [read_result(folder / file).inputs[0].sha256 for file in result.result_files]
    assert digests[0] == digests[1] == digests[2] != digests[3] == digests[4] == digests[5]


def test_a_study_whose_files_stay_the_same_is_compared(model: Path, tmp_path: Path) -> None:
    result = run(study_of(model, cycle_order="shuffled"), tmp_path / "r")
    assert result.summary.input_changes == ()
    comparisons = result.summary.comparisons
    assert comparisons is not None
    assert len(comparisons.points) == 1


@pytest.mark.parametrize("order", ["sequential", "interleaved"])
def test_a_tokenizer_that_changes_between_two_points_is_reported(
    model: Path, tmp_path: Path, order: str
) -> None:
    (model / "tokenizer.json").write_text("{}")
    events: list[Event] = []
    change = lambda: (model / "tokenizer.json").write_text("[]")  # noqa: E731
    study = study_of(model, n_cycles=1, cycle_order=order)
    result = run(study, tmp_path / "r", on_event=after_run(1, change, events))
    sentence = f"run 2 read another tokenizer.json of the model {model} than run 1"
    assert result.summary.input_changes == (sentence,)


def test_a_new_file_is_reported_between_runs_of_one_point(model: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    change = lambda: (model / "generation_config.json").write_text("{}")  # noqa: E731
    study = study_of(model, n_cycles=2)
    result = run(study, tmp_path / "r", on_event=after_run(2, change, events))
    name = f"generation_config.json of the model {model}"
    assert result.summary.input_changes == (
        f"run 3 read another {name} than run 1",
        f"run 4 read another {name} than run 2",
    )


def test_a_resume_with_other_weights_is_refused(model: Path, tmp_path: Path) -> None:
    run(study_of(model, n_cycles=1), tmp_path / "r")
    folder = only_folder(tmp_path / "r")
    before = (folder / "manifest.json").read_bytes()
    original = (model / "model.safetensors").read_bytes()
    swap_weights(model)
    arguments: dict[str, Any] = {"measure": measures.reads_inputs, "executor": InlineExecutor()}
    with pytest.raises(StudyError) as caught:
        resume_study(folder, cycles=2, **arguments)
    assert str(caught.value) == (
        f"{folder} cannot be continued, because its runs would not be comparable: "
        f"model.safetensors of the model {model} is not the one that run 2 read. Restore the "
        "earlier files, or start a new study"
    )
    assert (folder / "manifest.json").read_bytes() == before
    # Without a run to come, nothing is mixed.
    assert resume_study(folder, **arguments).status == "completed"
    (model / "model.safetensors").write_bytes(original)
    assert resume_study(folder, cycles=2, **arguments).summary.completed == 4


def test_a_change_before_a_resume_stays_in_the_manifest(model: Path, tmp_path: Path) -> None:
    run(study_of(model), tmp_path / "r", on_event=after_run(3, lambda: swap_weights(model), []))
    folder = only_folder(tmp_path / "r")
    changes = read_manifest(folder).input_changes
    assert len(changes) == 1
    result = resume_study(
        folder, cycles=4, measure=measures.reads_inputs, executor=InlineExecutor()
    )
    assert read_manifest(folder).input_changes == result.summary.input_changes == changes


def test_large_files_are_read_before_the_first_run_and_a_stop_is_heeded(
    model: Path, tmp_path: Path
) -> None:
    (model / "model.safetensors").write_bytes(weights_file(20_000_000))
    events: list[Event] = []
    run(study_of(model, n_cycles=1), tmp_path / "r", on_event=events.append)
    kinds = [type(event) for event in events]
    n_bytes = 20_000_000 + (model / "config.json").stat().st_size
    assert ReadingInputs(0, n_bytes) in events
    assert kinds.index(ReadingInputs) < kinds.index(StudyStarted)
    (model / "model.safetensors").write_bytes(weights_file(20_000_001))
    control = Control()

    def stop(event: Event) -> None:
        if isinstance(event, ReadingInputs):
            control.request_stop()

    (tmp_path / "s").mkdir()
    with pytest.raises(KeyboardInterrupt):
        run(study_of(model, n_cycles=1), tmp_path / "s", on_event=stop, control=control)
    control.close()
    assert list((tmp_path / "s").iterdir()) == []
