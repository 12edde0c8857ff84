"""A time limit for a study, the estimate of the remaining time, and the queue for a GPU (STU-06)."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from fakes import fake_nvml, measures
from fakes.studies import experiment, model_folder, only_folder, study

from llem_config import ExecutionConfig, Settings
from llem_runner import Control, StudyError, read_manifest, resume_study, run_study
from llem_runner._analysis.summary import summarise
from llem_runner._events import ignore
from llem_runner._gpus.locks import Queue
from llem_runner._storage.layout import Layout
from llem_runner._study.duration import RemainingTime
from llem_runner.events import (
    Event,
    GapStarted,
    PreflightWarning,
    RunFinished,
    RunStarted,
    StudyEnded,
    StudyStarted,
)
from llem_runner.plan import schedule, time_left_s


def test_a_time_limit_stops_a_run_and_leaves_the_rest_pending(tmp_path: Path) -> None:
    events: list[Event] = []
    result = run_study(
        study((1, 2)),
        output=tmp_path,
        measure=measures.hangs,
        time_limit_s=3,
        on_event=events.append,
    )
    assert result.status == "interrupted"
    folder = only_folder(tmp_path)
    assert [e.status for e in read_manifest(folder).entries] == ["interrupted", "pending"]
    (ended,) = [event for event in events if isinstance(event, StudyEnded)]
    assert "time limit of 3 s" in (ended.reason or "")
    assert resume_study(folder, measure=measures.quick).status == "completed"


def test_no_run_begins_that_is_not_expected_to_end_in_time(tmp_path: Path) -> None:
    run_study(study((1, 2)), output=tmp_path, measure=measures.quick)
    folder = only_folder(tmp_path)
    # The first run took two hours, and the second has no result.
    manifest = json.loads((folder / "manifest.json").read_text())
    first, second = manifest["entries"]
    first["run_s"] = 7200.0
    (folder / second["result_file"]).unlink()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = resume_study(folder, measure=measures.quick, time_limit_s=3600)
    statuses = [entry.status for entry in read_manifest(folder).entries]
    assert (result.status, statuses) == ("interrupted", ["completed", "pending"])


def test_a_step_of_the_wall_clock_changes_no_duration(tmp_path: Path) -> None:
    study_config = study((1, 2))
    result = run_study(study_config, output=tmp_path, measure=measures.quick)
    folder = only_folder(tmp_path)
    manifest = read_manifest(folder)
    known_s = [(entry.run_s or 0) + (entry.gap_s or 0) for entry in manifest.entries]
    assert all(entry.run_s for entry in manifest.entries)
    assert manifest.entries[0].gap_s is None
    assert result.summary.wall_time_s == pytest.approx(sum(known_s))
    # The clock was set forward by ten days while the second run was running.
    late = (datetime.now(UTC) + timedelta(days=10)).isoformat()
    first, second = manifest.entries
    stepped = msgspec.structs.replace(second, ended_at=late)
    after = msgspec.structs.replace(manifest, entries=(first, stepped))
    again = summarise(study_config, Layout(folder), after, Settings(), limits_enforced=True)
    assert again.summary.wall_time_s == pytest.approx(sum(known_s))
    left = RemainingTime(schedule(study_config), study_config.execution, (stepped,))
    assert left.run_s(second.config_hash) == second.run_s
    unknown = msgspec.structs.replace(
        manifest, entries=(first, msgspec.structs.replace(second, run_s=None))
    )
    old = summarise(study_config, Layout(folder), unknown, Settings(), limits_enforced=True)
    assert old.summary.wall_time_s is None


@pytest.mark.parametrize(("retry", "limit"), [(-1, None), (0, 0.0), (0, -1.0)])
def test_limits_out_of_range_are_refused(tmp_path: Path, retry: int, limit: float | None) -> None:
    with pytest.raises(StudyError, match="expected"):
        run_study(study(), output=tmp_path, measure=measures.quick, retry=retry, time_limit_s=limit)
    assert list(tmp_path.iterdir()) == []


def test_the_time_left_is_estimated_from_the_runs_of_each_point() -> None:
    study_config = study((1, 2), n_cycles=3, cycle_order="interleaved", cycle_gap_seconds=100)
    runs = schedule(study_config)
    remaining = RemainingTime(runs, study_config.execution)
    assert remaining.gaps_s == 200
    assert remaining.left_s() is None
    for run, seconds in zip(runs[:2], (10, 30), strict=True):
        remaining.begin(run.gap)
        remaining.done(run, seconds)
    assert remaining.left_s() == 200 + 2 * 10 + 2 * 30
    assert remaining.run_s(runs[2].config_hash) == 10
    remaining.begin("cycle")
    remaining.learn_gap("cycle", 150)  # because the GPU had to cool down
    remaining.done(runs[2], 20)
    assert remaining.left_s() == 150 + 1 * 15 + 2 * 30


def test_a_point_without_runs_is_expected_to_take_the_mean_of_the_others() -> None:
    study_config = study((1, 2, 3))
    runs = schedule(study_config)
    remaining = RemainingTime(runs, ExecutionConfig())
    remaining.done(runs[0], 8)
    assert remaining.left_s() == 16
    assert remaining.n_left == 2


def test_stopping_a_wait_for_a_gpu_names_the_gpu() -> None:
    with Control.owned(None) as control:
        control.request_stop()
        with pytest.raises(KeyboardInterrupt, match="waiting for GPU GPU-1; no run was started"):
            Queue(control, ignore).hold("GPU-1", "study")


def test_the_time_left_of_a_running_study_is_read_from_its_folder(tmp_path: Path) -> None:
    left_s: list[float | None] = []
    in_gap_s: list[float | None] = []

    def on_event(event: Event) -> None:
        if isinstance(event, RunStarted | GapStarted):
            folder = only_folder(tmp_path)
            estimates = left_s if isinstance(event, RunStarted) else in_gap_s
            estimates.append(time_left_s(folder, read_manifest(folder)))

    study_config = study((1, 2, 3), config_gap_seconds=1.0)
    run_study(study_config, output=tmp_path, measure=measures.takes_two_seconds, on_event=on_event)
    first, second, third = left_s
    took_s = [
        (
            datetime.fromisoformat(entry.ended_at) - datetime.fromisoformat(entry.started_at)
        ).total_seconds()
        for entry in read_manifest(only_folder(tmp_path)).entries
        if entry.started_at and entry.ended_at
    ]
    assert first is None  # no run has ended yet
    assert second == pytest.approx(2 * took_s[0] + 1, abs=0.3)
    assert third == pytest.approx(statistics.fmean(took_s[:2]), abs=0.3)
    # In the first gap: two runs, this gap and the next gap.
    assert in_gap_s[0] == pytest.approx(2 * took_s[0] + 2, abs=0.5)


def test_events_have_the_time_left_and_a_resume_has_it_from_the_start(tmp_path: Path) -> None:
    events: list[Event] = []
    run_study(
        study((1, measures.BAD_N), n_cycles=2, cycle_order="interleaved"),
        output=tmp_path,
        measure=measures.fails_at_bad_n,
        on_event=events.append,
    )
    finished = [event for event in events if isinstance(event, RunFinished)]
    assert [event.n_left for event in finished] == [3, 1]
    assert all(event.left_s is not None for event in finished)
    events.clear()
    resume_study(only_folder(tmp_path), measure=measures.quick, on_event=events.append)
    events = [event for event in events if not isinstance(event, PreflightWarning)]
    assert isinstance(events[0], StudyStarted)
    assert events[0].n_runs == 2
    assert events[0].left_s is not None


_STUDY = """
import sys, time
from pathlib import Path
from fakes import measures
from fakes.studies import experiment
from llem_config import StudyConfig
from llem_runner import StudyError, run_study
if __name__ == "__main__":
    model = str(Path("model").resolve())
    study_config = StudyConfig(experiments=(experiment(model=model, pytorch={"device": "auto"}),))
    measure = getattr(measures, sys.argv[2])
    limit = float(sys.argv[4]) if sys.argv[4:] else None
    def on_event(event):
        print(type(event).__name__, time.monotonic(), flush=True)
    try:
        run_study(study_config, output=sys.argv[1], measure=measure, wait=sys.argv[3] == "wait",
                  on_event=on_event, time_limit_s=limit)
    except StudyError as error:
        print(type(error).__name__, error)
    except KeyboardInterrupt:
        print("KeyboardInterrupt")
"""


def test_a_study_waits_for_the_gpu_of_another_with_wait_only(tmp_path: Path, library: Path) -> None:
    trace = tmp_path / "trace"
    fake_nvml.write_trace(trace, [fake_nvml.FakeGpu(uuid=f"GPU-wait-{os.getpid()}")])
    (tmp_path / "study.py").write_text(_STUDY)
    env = {
        **os.environ,
        **fake_nvml.environment(library, trace),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }

    def start(name: str, measure: str, *rest: str, executor: str = "auto") -> subprocess.Popen[str]:
        command = [sys.executable, "study.py", name, measure, *rest]
        variables = {**env, "LLEM_EXECUTION__EXECUTOR": executor}
        return subprocess.Popen(
            command, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, text=True
        )

    model = Path(model_folder(tmp_path))
    first = start("first", "waits_for_file", "no")
    assert first.stdout is not None
    assert first.stdout.readline().startswith("StudyStarted")
    waiting = start("second", "quick", "wait")
    assert waiting.stdout is not None
    assert waiting.stdout.readline().startswith("WaitingForGpu")
    hasty = start("third", "quick", "no")
    short = start("fourth", "quick", "wait", "1")
    assert "StudyLocked GPU GPU-wait" in hasty.communicate(timeout=60)[0]
    # A mistake in the settings is reported before the wait, not after it.
    mistaken = start("fifth", "quick", "wait", executor="slurm")
    assert short.communicate(timeout=60)[0].split()[-1] == "KeyboardInterrupt"
    assert mistaken.communicate(timeout=60)[0].startswith("StudyError execution.executor: ")
    model.with_suffix(".go").touch()
    ended = first.communicate(timeout=60)[0].splitlines()[-1].split()
    lines = [line.split() for line in waiting.communicate(timeout=60)[0].splitlines()]
    assert (lines[0][0], lines[-1][0]) == ("StudyStarted", "StudyEnded")
    assert float(lines[0][1]) > float(ended[1])
    assert not (tmp_path / "third").exists()
    assert not (tmp_path / "fourth").exists()


def test_a_point_without_runs_takes_as_long_as_the_others_of_its_model() -> None:
    models = ["small", "small", "large", "large"]
    points = [
        experiment(model=f"builtin:tiny-{'llama' if m == 'small' else 'moe'}", n=n)
        for n, m in enumerate(models, 1)
    ]
    config = study().model_copy(update={"experiments": tuple(points)})
    runs = [run for run in schedule(config) if run.cycle == 1]
    remaining = RemainingTime(runs, ExecutionConfig(config_gap_seconds=0, cycle_gap_seconds=0))
    remaining.done(runs[0], 10)
    assert remaining.left_s() == 10 + 10 + 10
    remaining.done(runs[2], 100)
    assert remaining.left_s() == 10 + 100
