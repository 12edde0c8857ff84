"""The reasons of failed runs, and the wait until all processes of a run have ended (STU-04)."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import fake_nvml, measures
from fakes.studies import experiment, model_folder, study

from llem_config import ExecutionConfig, StudyConfig
from llem_runner import Control, StudyError, read_manifest, run_isolated, run_study
from llem_runner._executors.local.exit_reason import OomCounts, explain_exit
from llem_runner._executors.local.leftovers import wait_for_cleanup
from llem_runner._gpus.state import Gpus
from llem_runner.events import Event, RunFailed
from llem_runner.executors import Failed, Finished, Interrupted, Leftovers, Measure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def failure_of(
    tmp_path: Path, measure: Measure, *, timeout_s: float = 60, stall_s: float = math.inf
) -> Failed:
    outcome = run_isolated(
        experiment(model=model_folder(tmp_path)),
        measure=measure,
        log=tmp_path / "log",
        timeout_s=timeout_s,
        stall_s=stall_s,
    )
    assert isinstance(outcome, Failed), outcome
    return outcome


@pytest.mark.parametrize(
    ("measure", "reason", "text"),
    [
        (measures.raises, "exception", "does not fit"),
        (measures.runs_out_of_gpu_memory, "gpu_memory", "cannot be loaded"),
        (measures.killed, "signal", "SIGKILL from outside llem"),
        (measures.dies_by_an_unnamed_signal, "signal", "signal"),
        (measures.exits, "exit", "exit code 0"),
        (measures.closes_its_pipe, "pipe", "closed its pipe"),
        (measures.sends_garbage, "garbage", "unreadable message"),
        (measures.claims_two_gigabytes, "garbage", "2147483647 bytes"),
    ],
)
def test_each_way_to_fail_has_its_reason(
    tmp_path: Path, measure: Measure, reason: str, text: str
) -> None:
    failure = failure_of(tmp_path, measure)
    assert failure.reason == reason
    assert text in failure.message


@pytest.mark.parametrize("measure", [measures.hangs_in_native_code, measures.hangs])
def test_the_log_tail_of_a_run_that_hangs_is_its_stack(tmp_path: Path, measure: Measure) -> None:
    failure = failure_of(tmp_path, measure, timeout_s=3)
    assert (failure.reason, failure.error_type) == ("timeout", "Timeout")
    assert measure.__name__ in failure.log_tail  # type: ignore[attr-defined]  # a function


def test_a_run_without_any_sign_of_progress_is_stalled(tmp_path: Path) -> None:
    failure = failure_of(tmp_path, measures.hangs, stall_s=1)
    assert failure.reason == "stalled"


def test_a_run_that_works_is_not_stalled(tmp_path: Path) -> None:
    failure = failure_of(tmp_path, measures.works_silently, stall_s=2, timeout_s=8)
    assert failure.reason == "timeout"


def test_half_a_message_does_not_block_a_stop(tmp_path: Path) -> None:
    control = Control()
    threading.Timer(3, control.request_stop).start()
    outcome = run_isolated(
        experiment(),
        measure=measures.stops_inside_a_message,
        timeout_s=60,
        log=tmp_path / "log",
        control=control,
    )
    control.close()
    assert isinstance(outcome, Interrupted)  # and not failed by the timeout


def test_a_result_of_100_megabytes_arrives(tmp_path: Path) -> None:
    outcome = run_isolated(
        experiment(), measure=measures.sends_100_megabytes, timeout_s=60, log=tmp_path / "log"
    )
    assert isinstance(outcome, Finished)
    assert len(outcome.result.reproducibility_notes[0]) == 100_000_000


def test_a_log_of_a_gigabyte_keeps_its_start_and_end(tmp_path: Path) -> None:
    failure = failure_of(tmp_path, measures.floods_its_log)
    assert "last words" in failure.log_tail
    log = (tmp_path / "log").read_bytes()
    assert log.startswith(b"first words")
    assert log.endswith(b"last words\n")
    assert b"were removed here" in log
    assert len(log) < 3 * 2**20


@pytest.mark.parametrize(("measure", "mark"), [("leaves_a_daemon", ".daemon")])
def test_a_daemon_that_a_run_started_is_killed(tmp_path: Path, measure: str, mark: str) -> None:
    model = model_folder(tmp_path)
    run_isolated(
        experiment(model=model),
        measure=getattr(measures, measure),
        timeout_s=60,
        log=tmp_path / "log",
    )
    pid = int(Path(model).with_suffix(mark).read_text())
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        state = "gone"
    assert state in ("Z", "gone")


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group of 64 MB, on cgroup v1 or v2."""
    for mount, limit in (
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ("/sys/fs/cgroup", "memory.max"),
    ):
        group = Path(mount) / f"llem-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(64 * 2**20))
        except OSError:
            if group.is_dir():
                group.rmdir()
            continue
        yield group
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.05)
        return
    pytest.skip("a control group for memory cannot be study_config on this machine")


def test_an_oom_kill_is_recognised(tmp_path: Path, memory_group: Path) -> None:
    model = model_folder(tmp_path)
    Path(model).with_suffix(".group").write_text(str(memory_group))
    outcome = run_isolated(
        experiment(model=model),
        measure=measures.exhausts_memory,
        timeout_s=60,
        log=tmp_path / "log",
    )
    assert isinstance(outcome, Failed)
    assert outcome.reason == "oom_killer"
    assert "out-of-memory killer" in outcome.message


@pytest.mark.parametrize(
    ("cgroup", "file"),
    [
        ("0::/job/7\n", "sys/fs/cgroup/job/7/memory.events"),
        ("0::/of/the/host\n", "sys/fs/cgroup/memory.events"),
        ("5:cpu:/\n4:memory,x:/job\n0::/\n", "sys/fs/cgroup/memory/job/memory.oom_control"),
    ],
)
def test_oom_kill_counts_are_read_from_cgroup_v1_and_v2(
    tmp_path: Path, cgroup: str, file: str
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(cgroup)
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("low 0\noom 3\noom_kill 2\n")
    assert OomCounts.read(tmp_path) == OomCounts(2, None)
    (tmp_path / "proc/vmstat").write_text("nr_free_pages 5\noom_kill 9\n")
    assert OomCounts.read(tmp_path) == OomCounts(2, 9)


def test_a_kill_is_an_oom_kill_only_if_the_count_rose() -> None:
    killed = -signal.SIGKILL
    same, more, none = OomCounts(1, 1), OomCounts(1, 2), OomCounts(None, None)
    assert explain_exit(killed, same, same)[0] == "signal"
    reason, message = explain_exit(killed, same, more)
    assert reason == "oom_killer"
    assert "probably" in message  # another process may have been killed
    assert "does not report" in explain_exit(killed, none, none)[1]
    assert explain_exit(-signal.SIGSEGV, same, more)[0] == "signal"


def test_the_manifest_has_the_reason_and_the_last_log_lines_of_a_failure(tmp_path: Path) -> None:
    events: list[Event] = []
    run_study(study((1, 2)), output=tmp_path, measure=measures.killed, on_event=events.append)
    (folder,) = tmp_path.iterdir()
    entry = read_manifest(folder).entries[0]
    assert (entry.error_reason, entry.error_log) == ("signal", "about to die")
    failure = next(event for event in events if isinstance(event, RunFailed))
    assert (failure.reason, failure.log_tail) == ("signal", "about to die")


_CLEAR = """
import os, sys, time
from llem_runner import Control, StudyError
from llem_runner._executors.local.leftovers import wait_for_cleanup
from llem_runner._gpus.state import Gpus
from llem_runner.executors import Leftovers
if __name__ == "__main__":
    os.environ["LLEM_FAKE_NVML_EPOCH"] = repr(time.monotonic())
    try:
        wait_for_cleanup(3, Leftovers(pids=(int(sys.argv[2]),)), before={}, gpus=Gpus([sys.argv[1]]),
                         control=Control(), on_event=lambda e: print("event", e.own_pids, e.other_pids),
                         own_timeout_s=4, others_timeout_s=2)
    except StudyError as error:
        print("error", error)
"""


@pytest.mark.parametrize(
    ("run_pid", "until_s", "expected"),
    [
        ("4100001", 2.5, "event (4100001,) ()\n"),
        ("4100001", 1e9, "error process 4100001, started by run 3, is still alive on GPU"),
        ("4100009", 1e9, "event () (4100001,)\n"),
        ("4100009", 0.0, ""),
    ],
    ids=["freed in the end", "never freed", "another user's", "no process"],
)
def test_the_next_run_waits_for_gpu_memory_to_be_free(
    tmp_path: Path, library: Path, run_pid: str, until_s: float, expected: str
) -> None:
    gpu = fake_nvml.FakeGpu(processes=(fake_nvml.Process(4100001, t1_s=until_s),))
    if not until_s:
        gpu = fake_nvml.FakeGpu()
    fake_nvml.write_trace(tmp_path / "trace", [gpu])
    (tmp_path / "clear.py").write_text(_CLEAR)
    done = subprocess.run(
        [sys.executable, tmp_path / "clear.py", gpu.uuid, run_pid],
        env={**os.environ, **fake_nvml.environment(library, tmp_path / "trace")},
        capture_output=True,
        text=True,
        check=True,
    )
    if "error" in expected:
        assert expected in done.stdout
    else:
        assert done.stdout == expected


def test_a_process_that_cannot_be_killed_aborts_the_study(tmp_path: Path) -> None:
    events: list[Event] = []
    with pytest.raises(
        StudyError, match=f"process {os.getpid()}, started by run 1, is still alive"
    ):
        wait_for_cleanup(
            1,
            Leftovers(pids=(os.getpid(),), alive_pids=(os.getpid(),)),
            before={},
            gpus=Gpus(),
            control=Control(),
            on_event=events.append,
            own_timeout_s=0.3,
        )


def crashing(tmp_path: Path) -> StudyConfig:
    model = model_folder(tmp_path)
    return StudyConfig(
        experiments=tuple(experiment(model=model, n=n) for n in (1, 2)),
        execution=ExecutionConfig(config_gap_seconds=0, cycle_gap_seconds=0),
    )


def test_a_crash_is_retried(tmp_path: Path) -> None:
    events: list[Event] = []
    result = run_study(
        crashing(tmp_path),
        output=tmp_path / "results",
        measure=measures.crashes_once,
        retry=1,
        on_event=events.append,
    )
    (folder,) = (tmp_path / "results").iterdir()
    assert result.status == "completed"
    assert [entry.attempts for entry in read_manifest(folder).entries] == [2, 2]
    assert all(e.error_reason is None for e in read_manifest(folder).entries)
    failures = [event for event in events if isinstance(event, RunFailed)]
    assert [event.tried_again for event in failures] == [True, True]


def test_a_crash_is_retried_once_and_an_exception_never(tmp_path: Path) -> None:
    study_config = study((1, 2), max_consecutive_failures=3)
    run_study(study_config, output=tmp_path / "a", measure=measures.killed, retry=1)
    run_study(study_config, output=tmp_path / "b", measure=measures.raises, retry=3)
    for name, attempts in (("a", 2), ("b", 1)):
        (folder,) = (tmp_path / name).iterdir()
        assert [e.attempts for e in read_manifest(folder).entries] == [attempts] * 2
