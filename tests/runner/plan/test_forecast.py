"""The time that a study will take comes from earlier runs of its models on this machine, or is unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes.results import make_result
from fakes.studies import only_folder, study

from llem_config import ExperimentConfig, Settings, StudyConfig
from llem_energy import ExperimentResult
from llem_runner import read_manifest, run_study
from llem_runner._study.forecast import usual_run_s
from llem_runner.events import Event, StudyStarted
from llem_runner.executors import InlineExecutor
from llem_runner.plan import Forecast, forecast, schedule, time_left_s
from llem_runner.records import StudyManifest, encode_json

GAPS = {"config_gap_seconds": 60.0, "cycle_gap_seconds": 300.0, "n_cycles": 3}


def measured(config: ExperimentConfig, **_: object) -> ExperimentResult:
    return make_result(config)


def expected(planned: StudyConfig, results: Path) -> Forecast:
    return forecast(planned, schedule(planned), results, Settings())


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a folder with a study of two runs, which took 20 s and 30 s."""
    folder = tmp_path / "results"
    run_study(study((1, 2)), output=folder, measure=measured, executor=InlineExecutor())
    change(folder, [20.0, 30.0])
    return folder


def change(results: Path, seconds: list[float], **fields: Any) -> None:
    file = only_folder(results) / "manifest.json"
    manifest = json.loads(file.read_text())
    for entry, run_s in zip(manifest["entries"], seconds, strict=True):
        entry["run_s"] = run_s
    file.write_text(json.dumps(manifest | fields))


def test_a_run_takes_as_much_beside_its_windows_as_earlier_runs_of_its_model(results: Path) -> None:
    found = expected(study((4, 8, 16)), results)  # other points of the same model
    assert found.overhead_s == 3 * 25.0
    assert found.n_earlier_runs == 2


def test_windows_of_earlier_runs_are_no_overhead(tmp_path: Path) -> None:
    points = study((1, 2)).experiments
    long = [p.model_copy(update={"energy": p.energy.model_copy(update={"min_window_seconds": 10.0})})
            for p in points]  # fmt: skip
    earlier = study().model_copy(update={"experiments": tuple(long)})
    run_study(earlier, output=tmp_path, measure=measured, executor=InlineExecutor())
    change(tmp_path, [20.0, 30.0])
    found = expected(earlier, tmp_path)
    assert (found.windows_s, found.overhead_s) == (20.0, 30.0)


def test_nothing_is_told_from_runs_of_another_model_or_device_or_machine(results: Path) -> None:
    planned = study((4,))
    (point,) = planned.experiments
    for changed in ({"model": "builtin:tiny-moe"}, {"pytorch": {"device": "auto"}}):
        other = ExperimentConfig.model_validate(point.model_dump(exclude_none=True) | changed)
        one = planned.model_copy(update={"experiments": (other,)})
        assert expected(one, results).overhead_s is None
        both = planned.model_copy(update={"experiments": (point, other)})
        assert expected(both, results).overhead_s is None
    change(results, [20.0, 30.0], host="elsewhere")
    assert expected(planned, results).overhead_s is None


def with_models(*models: str) -> StudyConfig:
    planned = study((4,), n_cycles=2, cycle_order="shuffled")
    (point,) = planned.experiments
    fields = point.model_dump(exclude_none=True)
    points = tuple(ExperimentConfig.model_validate(fields | {"model": model}) for model in models)
    return planned.model_copy(update={"experiments": points})


def test_what_is_known_of_some_models_is_told_and_the_others_are_named(results: Path) -> None:
    planned = with_models("builtin:tiny-llama", "builtin:tiny-moe")
    found = expected(planned, results)
    assert found.overhead_s is None
    assert (found.known_overhead_s, found.unknown) == (2 * 25.0, ("builtin:tiny-moe",))
    usual = usual_run_s(planned, results)
    assert usual == {planned.config_hashes[0]: 25.0}


def started(planned: StudyConfig, results: Path) -> StudyStarted:
    events: list[Event] = []
    run_study(
        planned, output=results, measure=measured, executor=InlineExecutor(), on_event=events.append
    )
    (found,) = (event for event in events if isinstance(event, StudyStarted))
    return found


def test_the_display_of_a_study_starts_from_earlier_studies_as_its_plan_does(results: Path) -> None:
    known = started(with_models("builtin:tiny-llama"), results)
    assert (known.left_s, known.unknown) == (2 * 25.0, ())


def test_the_display_says_at_least_only_if_a_model_has_not_run_here(results: Path) -> None:
    partly = started(with_models("builtin:tiny-llama", "builtin:tiny-moe"), results)
    assert (partly.left_s, partly.least_s) == (None, 2 * 25.0)
    assert partly.unknown == ("builtin:tiny-moe",)


def test_another_process_estimates_a_study_that_has_just_started(results: Path) -> None:
    run_study(
        with_models("builtin:tiny-llama"),
        output=results / "new",
        measure=measured,
        executor=InlineExecutor(),
    )
    folder = only_folder(results / "new")
    manifest = read_manifest(folder)
    pending = tuple(
        msgspec.structs.replace(e, status="pending", started_at=None, ended_at=None, run_s=None)
        for e in manifest.entries
    )
    manifest = msgspec.structs.replace(manifest, entries=pending)
    write_manifest(folder, manifest)
    assert time_left_s(folder, manifest) is None
    moved = folder.rename(results / f"{folder.name}_new")
    assert time_left_s(moved, manifest) == pytest.approx(2 * 25.0)


def write_manifest(folder: Path, manifest: StudyManifest) -> None:
    (folder / "manifest.json").write_bytes(encode_json(manifest))


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_damaged_study_tells_nothing(results: Path, content: str) -> None:
    (only_folder(results) / "study_resolved.json").write_text(content)
    assert expected(study((4,)), results).overhead_s is None


def test_without_earlier_studies_gaps_and_windows_are_known(tmp_path: Path) -> None:
    found = expected(study((1, 2), **GAPS, cycle_order="shuffled"), tmp_path / "none")
    assert found.overhead_s is None
    assert found.gaps_s == 3 * 60 + 2 * 300


@pytest.mark.parametrize(
    ("order", "is_needless"), [("shuffled", True), ("interleaved", False), ("sequential", False)]
)
def test_gaps_are_needless_only_on_the_cpu_in_a_shuffled_order(
    tmp_path: Path, order: str, is_needless: bool
) -> None:
    found = expected(study((1, 2), **GAPS, cycle_order=order), tmp_path)
    assert found.has_needless_gaps is is_needless


def test_a_study_without_gaps_has_no_needless_ones(tmp_path: Path) -> None:
    assert not expected(study((1, 2), cycle_order="shuffled"), tmp_path).has_needless_gaps
