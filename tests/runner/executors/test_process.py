"""One run in a real spawned process, and every way it can end (STU-01, STU-02, STU-03, STU-04)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fakes import measures
from fakes.processes import n_children
from fakes.studies import experiment, model_folder

from llem_config import Settings
from llem_energy import ExperimentResult
from llem_runner import Control, StudyError, run_isolated
from llem_runner._events import ignore
from llem_runner._executors.local.parent import ChildProcess
from llem_runner.executors import Failed, Finished, Interrupted, Measure, Outcome, Task

pytestmark = pytest.mark.usefixtures("own_children")


def finished(outcome: Outcome) -> ExperimentResult:
    assert isinstance(outcome, Finished), outcome
    return outcome.result


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


def run(child: ChildProcess, folder: Path) -> Outcome:
    """Measure one experiment in a child process."""
    task = Task(
        experiment().model_dump_json(),
        Settings().model_dump_json(),
        str(folder / "t.parquet"),
        timeout_s=60,
    )
    with Control.owned(None) as control:
        return child.measure(task, control=control, on_stage=ignore, on_result=ignore)


def gone(pid: int) -> bool:
    """Return whether a process is dead or a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def wait_until_gone(pid: int, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return gone(pid)


def test_every_run_has_a_new_spawned_process_in_its_own_group(tmp_path: Path) -> None:
    reports = []
    for _ in range(2):
        outcome = run_isolated(
            experiment(), measure=measures.quick, timeout_s=60, log=tmp_path / "log"
        )
        reports.append(finished(outcome).effective_config)
    assert reports[0]["pid"] != reports[1]["pid"] != os.getpid()
    for report in reports:
        assert report["parent_pid"] == os.getpid()
        assert report["start_method"] == "spawn"
        assert report["daemon"] is False
        assert report["group"] == report["pid"]


def test_stages_are_reported(tmp_path: Path) -> None:
    stages: list[str] = []
    run_isolated(
        experiment(),
        measure=measures.quick,
        timeout_s=60,
        log=tmp_path / "log",
        on_stage=stages.append,
    )
    assert stages == ["import", "window"]  # the task arrives while the child imports


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGUSR2])
def test_a_process_that_is_killed_while_it_imports_is_a_failed_run(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The study continues, and `--retry` applies, unlike after an exit without a signal."""
    # A child inherits that a signal is ignored, for example SIGHUP from `nohup`.
    earlier = None if number == signal.SIGKILL else signal.signal(number, signal.SIG_DFL)
    try:
        child = ChildProcess(experiment(), measure=measures.quick, log=tmp_path / "log")
    finally:
        if earlier is not None:
            signal.signal(number, earlier)
    os.kill(child.pid, number)
    outcome = run(child, tmp_path)
    assert (failed(outcome).error_type, failed(outcome).reason) == ("ProcessDied", "signal")


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.02, 0.05, 0.1])
def test_ctrl_c_does_not_end_a_process_that_is_starting(tmp_path: Path, after_s: float) -> None:
    """The terminal sends the signal to all its processes; the parent decides what happens."""
    child = ChildProcess(experiment(), measure=measures.quick, log=tmp_path / "log")
    time.sleep(after_s)
    os.kill(child.pid, signal.SIGINT)
    assert finished(run(child, tmp_path))
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_log_that_cannot_be_written_is_an_error_before_a_process_starts(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="log cannot be written: it is not a regular file"):
        (tmp_path / "log").mkdir()
        run_isolated(experiment(), measure=measures.quick, timeout_s=60, log=tmp_path / "log")


def test_a_result_of_ten_megabytes_arrives(tmp_path: Path) -> None:
    outcome = run_isolated(experiment(), measure=measures.big, timeout_s=60, log=tmp_path / "log")
    assert len(finished(outcome).reproducibility_notes) == 10_000


def test_a_run_that_hangs_is_killed_at_its_timeout(tmp_path: Path) -> None:
    outcome = run_isolated(experiment(), measure=measures.hangs, timeout_s=2, log=tmp_path / "log")
    assert failed(outcome).error_type == "Timeout"
    assert "2 s" in failed(outcome).message
    assert n_children() == 0


@pytest.mark.parametrize("is_stopped", [True, False])
def test_a_run_that_ends_by_sigterm_is_interrupted_if_the_study_is_stopped_too(
    tmp_path: Path, is_stopped: bool
) -> None:
    # A batch system sends SIGTERM to all processes of a job; the run's may be the first to end.
    child = ChildProcess(experiment(), measure=measures.reports_its_stages, log=tmp_path / "log")
    task = Task(
        experiment().model_dump_json(),
        Settings().model_dump_json(),
        str(tmp_path / "t.parquet"),
        timeout_s=60,
    )
    with Control.owned(None) as control:

        def end(stage: str) -> None:
            if stage == "load":
                os.kill(child.pid, signal.SIGTERM)
                if is_stopped:
                    threading.Timer(0.3, control.request_stop).start()

        outcome = child.measure(task, control=control, on_stage=end, on_result=ignore)
    if is_stopped:
        assert isinstance(outcome, Interrupted)
    else:
        assert "SIGTERM" in failed(outcome).message


def pid_of_a_timeout(tmp_path: Path, measure: Measure, suffix: str) -> int:
    """Run until the timeout, and return the process that the measurement has named in a file.

    A busy machine may need more than three seconds to start a measurement; then it gets longer.
    """
    model = Path(model_folder(tmp_path))
    for timeout_s in (3, 20, 80):
        outcome = run_isolated(
            experiment(model=str(model)),
            measure=measure,
            timeout_s=timeout_s,
            log=tmp_path / f"log of {timeout_s} s",
        )
        assert failed(outcome).error_type == "Timeout"
        if (named := model.with_suffix(suffix)).exists():
            break
    return int(named.read_text())


def test_a_run_that_ignores_sigterm_is_killed_at_its_timeout(tmp_path: Path) -> None:
    assert wait_until_gone(pid_of_a_timeout(tmp_path, measures.ignores_sigterm, ".ready"))


def test_a_run_that_reports_stages_forever_is_killed_at_its_timeout(tmp_path: Path) -> None:
    outcome = run_isolated(
        experiment(),
        timeout_s=3,
        log=tmp_path / "log",
        measure=measures.reports_stages_forever,
        on_stage=lambda _: time.sleep(0.01),  # so that the next message has always arrived
    )
    assert failed(outcome).reason == "timeout"


def test_processes_that_a_run_started_are_killed_with_it(tmp_path: Path) -> None:
    measure = measures.starts_a_process_and_hangs
    assert wait_until_gone(pid_of_a_timeout(tmp_path, measure, ".grandchild"))


def test_the_failure_of_a_killed_run_names_the_signal_and_the_last_log_lines(
    tmp_path: Path,
) -> None:
    failure = failed(
        run_isolated(experiment(), measure=measures.killed, timeout_s=60, log=tmp_path / "log")
    )
    assert failure.error_type == "ProcessDied"
    assert "SIGKILL" in failure.message
    assert "about to die" in failure.message


def test_a_process_that_exits_without_a_result_is_a_failed_run(tmp_path: Path) -> None:
    failure = failed(
        run_isolated(experiment(), measure=measures.exits, timeout_s=60, log=tmp_path / "log")
    )
    assert failure.error_type == "ProcessDied"
    assert "exit code 0" in failure.message


def test_a_result_with_nan_fails_its_run_and_not_the_study(tmp_path: Path) -> None:
    failure = failed(
        run_isolated(experiment(), measure=measures.returns_nan, timeout_s=60, log=tmp_path / "log")
    )
    assert failure.error_type == "MeasurementError"
    assert "tokens_per_second is nan" in failure.message


def test_an_exception_in_a_run_is_in_the_failure_and_in_the_log(tmp_path: Path) -> None:
    failure = failed(
        run_isolated(experiment(), measure=measures.raises, timeout_s=60, log=tmp_path / "log")
    )
    assert failure.error_type == "BackendError"
    assert failure.message == "the model does not fit"
    assert "failing.py" in failure.traceback
    assert "the model does not fit" in (tmp_path / "log").read_text()


def test_everything_a_run_prints_is_in_its_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_isolated(experiment(), measure=measures.noisy, timeout_s=60, log=tmp_path / "log")
    log = (tmp_path / "log").read_text()
    for text in ("from python", "from native stdout", "from native stderr"):
        assert text in log
    assert capfd.readouterr() == ("", "")


def test_a_stop_ends_the_run_before_its_timeout(tmp_path: Path) -> None:
    control = Control()
    control.request_stop()
    outcome = run_isolated(
        experiment(), measure=measures.hangs, timeout_s=60, log=tmp_path / "log", control=control
    )
    assert isinstance(outcome, Interrupted)
    control.close()


def test_the_parent_uses_no_processor_time_during_a_run(tmp_path: Path) -> None:
    before = time.process_time()
    run_isolated(experiment(), measure=measures.hangs, timeout_s=3, log=tmp_path / "log")
    # A parent that spins in a loop uses 3 s here; starting and reading a process take some.
    assert time.process_time() - before < 0.5


def test_a_dead_process_is_noticed_although_its_forked_child_is_alive(tmp_path: Path) -> None:
    failure = failed(
        run_isolated(
            experiment(), measure=measures.forks_and_dies, timeout_s=60, log=tmp_path / "log"
        )
    )
    assert failure.error_type == "ProcessDied"  # and not "Timeout"


def test_a_kill_by_a_signal_without_a_name_is_a_failed_run(tmp_path: Path) -> None:
    failure = failed(
        run_isolated(
            experiment(),
            measure=measures.dies_by_an_unnamed_signal,
            timeout_s=60,
            log=tmp_path / "log",
        )
    )
    assert f"signal {signal.SIGRTMIN + 6}" in failure.message


def test_a_result_that_no_message_can_carry_is_a_failed_run(tmp_path: Path) -> None:
    failure = failed(
        run_isolated(
            experiment(),
            measure=measures.returns_too_large_an_integer,
            timeout_s=60,
            log=tmp_path / "log",
        )
    )
    assert failure.error_type == "OverflowError"


def test_an_error_message_that_is_not_utf_8_keeps_its_type(tmp_path: Path) -> None:
    failure = failed(
        run_isolated(
            experiment(),
            measure=measures.raises_invalid_utf8,
            timeout_s=60,
            log=tmp_path / "log",
        )
    )
    assert failure.error_type == "BackendError"
    assert "caf" in failure.message


def test_the_last_log_lines_are_those_of_this_attempt(tmp_path: Path) -> None:
    config = experiment(model=model_folder(tmp_path))
    for _ in range(2):
        outcome = run_isolated(
            config, measure=measures.raises_and_then_exits, timeout_s=60, log=tmp_path / "log"
        )
    assert "output of the first attempt" in (tmp_path / "log").read_text()
    assert "last lines" not in failed(outcome).message


def test_a_timeout_of_years_is_accepted(tmp_path: Path) -> None:
    outcome = run_isolated(
        experiment(), measure=measures.quick, timeout_s=1e8, log=tmp_path / "log"
    )
    finished(outcome)


def test_a_run_leaves_no_descriptor_open(tmp_path: Path) -> None:
    def n_open() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    run_isolated(experiment(), measure=measures.quick, timeout_s=60, log=tmp_path / "log")
    before = n_open()
    for measure in (measures.quick, measures.killed, measures.raises):
        run_isolated(experiment(), measure=measure, timeout_s=60, log=tmp_path / "log")
    assert n_open() == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the parent-death signal")
@pytest.mark.parametrize("measure", ["ignores_sigterm", "starts_a_process_and_reports_it"])
def test_a_child_and_its_processes_die_with_the_parent(tmp_path: Path, measure: str) -> None:
    model = model_folder(tmp_path)
    script = tmp_path / "parent.py"
    script.write_text(
        "from pathlib import Path\n"
        "from fakes import measures\n"
        "from fakes.studies import experiment\n"
        "from llem_runner import run_isolated\n"
        "if __name__ == '__main__':\n"
        f"    run_isolated(experiment(model={model!r}), measure=measures.{measure},\n"
        f"                 timeout_s=300, log=Path({str(tmp_path / 'log')!r}))\n"
    )
    tests = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": str(tests)}
    )
    ready = Path(model).with_suffix(".ready")
    deadline = time.monotonic() + 30
    while not (ready.exists() and ready.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_until_gone(int(ready.read_text()))
