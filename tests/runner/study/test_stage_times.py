"""The expected length of a stage: what the study file sets, then what earlier runs took."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.measures import reports_its_stages
from fakes.studies import experiment, study

from llem_config import ExperimentConfig
from llem_runner import run_study
from llem_runner._study.stage_times import StageTimes
from llem_runner.events import Event, RunStage, RunStarted, StudyStarted
from llem_runner.plan import PlannedRun


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def run(index: int, model: str = "m", point: str = "a") -> PlannedRun:
    config = ExperimentConfig.model_validate(
        {"model": model, "energy": {"min_window_seconds": 7}, "baseline": {"duration_seconds": 3}}
    )
    return PlannedRun(index, 1, config, point, "label", None)


def expected(
    stages: StageTimes, clock: Clock, run: PlannedRun, seconds: float
) -> dict[str, float | None]:
    """Return what is expected of each stage in a run whose stages all take `seconds`."""
    found = {}
    stages.start_run()
    for stage in ("baseline", "load", "warm-up", "window", "result"):
        found[stage] = stages.begin(run, stage)
        clock.now_s += seconds
    return found


def test_before_the_first_run_only_what_the_file_sets_is_known() -> None:
    clock = Clock()
    assert expected(StageTimes(clock), clock, run(1), 5) == {
        "baseline": 3, "load": None, "warm-up": None, "window": 7, "result": None,
    }  # fmt: skip


def test_a_stage_takes_as_long_as_in_the_last_run_of_its_point_or_of_its_model() -> None:
    clock = Clock()
    stages = StageTimes(clock)
    expected(stages, clock, run(1), 5)
    assert expected(stages, clock, run(2, point="b"), 6) == {
        "baseline": 3, "load": 5, "warm-up": 5, "window": 7, "result": None,
    }  # fmt: skip
    again = expected(stages, clock, run(3), 5)
    assert (again["load"], again["window"]) == (5, 5)
    other = expected(stages, clock, run(4, model="other", point="c"), 5)
    assert (other["load"], other["window"]) == (None, 7)


def test_a_stage_in_which_a_run_failed_is_not_learned() -> None:
    clock = Clock()
    stages = StageTimes(clock)
    stages.start_run()
    stages.begin(run(1), "load")
    clock.now_s += 500
    assert expected(stages, clock, run(1), 5)["load"] is None


def test_a_study_reports_what_to_expect_of_runs_and_stages(tmp_path: Path) -> None:
    events: list[Event] = []
    ten_seconds = {"energy": {"min_window_seconds": 10}}
    config = study((1,), n_cycles=2).model_copy(
        update={"experiments": (experiment(n=1, **ten_seconds),)}
    )
    run_study(config, output=tmp_path, measure=reports_its_stages, on_event=events.append)
    (began,) = [event for event in events if isinstance(event, StudyStarted)]
    assert began.left_s is None
    assert began.least_s == pytest.approx(20)
    first, second = [event.expected_s for event in events if isinstance(event, RunStarted)]
    assert first is None
    assert second is not None
    assert second > 0
    loads = [
        event.expected_s
        for event in events
        if isinstance(event, RunStage) and event.stage == "load"
    ]
    assert loads[0] is None
    assert loads[1] is not None
    assert loads[1] > 1
