"""The parent's side: a fresh process per run, told its task, listened to, and always gone after.

The parent sleeps while the child measures: it waits for the pipe, the child's end, a request to
stop and the deadline all at once, and uses no processor time of its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import msgspec

from llem_config import ExperimentConfig, Settings
from llem_energy import Prior
from llem_energy import measure as default_measure
from llem_runner._control import Control
from llem_runner._errors import StudyError
from llem_runner._gap import LONGEST_WAIT_S
from llem_runner._messages import (
    Failed,
    Finished,
    Interrupted,
    Outcome,
    Ready,
    Stage,
    Task,
    decode,
    encode,
)
from llem_runner._worker import Measure, worker_main

STOP_GRACE_S = 2.0  # between the request to stop and the kill
_EXIT_GRACE_S = 5.0  # for a child that has sent its last message
_TAIL_BYTES, _TAIL_LINES = 2000, 3


class Worker:
    """One child process for one run. It imports ahead, and begins when told."""

    def __init__(self, config: ExperimentConfig, *, measure: Measure, log: Path) -> None:
        """Start the process; it touches neither GPU nor model until `run`.

        Args:
            config: the experiment, so that the process can import what it will need.
            measure: importable by the child.
            log: takes the child's stdout and stderr; its folder exists.
        """
        # Spawn: a forked child would inherit a CUDA context it cannot use, and our threads' locks.
        context = multiprocessing.get_context("spawn")
        self._connection, child_end = context.Pipe(duplex=True)
        lifeline, self._lifeline = context.Pipe(duplex=False)
        self._log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        self._config = config.model_dump_json()
        self._process = context.Process(
            target=worker_main,
            args=(child_end, lifeline, str(log), os.getpid(), self._config, measure),
            name="llem-worker",
            daemon=False,
        )
        self._started = self._delivered = self._timed_out = self._closed = False
        self.ended_s: float | None = None
        """When the last message came, on the clock of `time.perf_counter`."""
        self._process.start()
        child_end.close()  # else the pipe never ends when the child dies
        lifeline.close()
        self._end = _end_of(self._process)

    def run(
        self,
        *,
        settings: Settings,
        timeseries: Path,
        timeout_s: float,
        control: Control,
        on_stage: Callable[[str], None],
        prior: Prior | None = None,
    ) -> Outcome:
        """Let the child measure and return what came of it; the child is gone afterwards.

        Raises:
            StudyError: the process could not even start, so that no run of the study will.
        """
        known = prior or Prior()
        task = Task(self._config, settings.model_dump_json(), str(timeseries), known)
        watchdog = threading.Timer(timeout_s, self._time_out)
        watchdog.daemon = True  # covers a child that hangs in the middle of a message
        deadline_s = time.perf_counter() + timeout_s
        watchdog.start()
        try:
            outcome = self._listen(task, deadline_s, control, on_stage)
        except KeyboardInterrupt:
            # A caller without signal handlers of its own, such as a notebook.
            self._ask_to_stop(control)
            raise
        finally:
            watchdog.cancel()
            self.close()
        if outcome is None:
            return Failed("Timeout", f"no result within {timeout_s:g} s")
        return outcome

    def _listen(
        self,
        task: Task,
        deadline_s: float,
        control: Control,
        on_stage: Callable[[str], None],
    ) -> Outcome | None:
        """Return what came of the run, or None if its time was over first."""
        with contextlib.suppress(OSError):  # a child that is dead already is noticed below
            self._connection.send_bytes(encode(task))
        # Read before join: a result above the pipe's buffer (64 KiB on Linux) blocks the child in
        # `send` until we read, so joining first would wait for the deadline and kill a good run.
        watched: list[Any] = [self._connection, self._end, control.fileno()]
        while True:
            left_s = max(0.0, deadline_s - time.perf_counter())
            ready = wait(watched, timeout=min(left_s, LONGEST_WAIT_S))
            if control.fileno() in ready:
                return self._ask_to_stop(control)
            if self._connection in ready:
                outcome = self._receive(on_stage)
                if outcome is not None or self._timed_out:
                    return None if self._timed_out else outcome
            elif ready:  # its end alone: dead, and nothing left in the pipe
                return None if self._timed_out else self._died()
            elif time.perf_counter() >= deadline_s:
                return None

    def _receive(self, on_stage: Callable[[str], None]) -> Finished | Failed | None:
        try:
            message = decode(self._connection.recv_bytes())
        except (EOFError, OSError):
            return None if self._timed_out else self._died()
        except msgspec.MsgspecError as error:
            return Failed("BadMessage", f"the run sent something unreadable: {error}")
        match message:
            case Ready():
                self._started = True
                return None
            case Stage(name):
                on_stage(name)
                return None
            case Finished() | Failed():
                self.ended_s = time.perf_counter()
                self._delivered = True
                return message

    def _died(self) -> Failed:
        ended = bool(wait([self._end], timeout=_EXIT_GRACE_S))
        # Before the exit code is read, which gives the process's number back to the kernel.
        self._kill_group()
        self._process.join()
        self._closed = True
        how = _how(self._process.exitcode) if ended else "closed its pipe"
        tail = _tail(self._log, self._log_start)
        last = f"; its last words: {tail}" if tail else ""
        if not self._started:
            raise StudyError(
                f"a run's process {how} before it could begin{last}. A script that runs a study "
                'must do so below `if __name__ == "__main__":`, and must be a file'
            )
        return Failed("ProcessDied", f"the run's process {how} without a result{last}")

    def _ask_to_stop(self, control: Control) -> Interrupted:
        control.acknowledge()
        if self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._process.pid, signal.SIGTERM)
        if control.n_requests < 2:
            # A second request during the grace ends it.
            with contextlib.suppress(KeyboardInterrupt):
                wait([self._end, control.fileno()], timeout=STOP_GRACE_S)
        return Interrupted()

    def close(self) -> None:
        """See to it that the child and everything it started are gone; safe to call twice."""
        if not self._closed:
            if self._delivered:
                wait([self._end], timeout=_EXIT_GRACE_S)
            # Before the child is reaped, so that its number still means its own group.
            self._kill_group()
            self._process.join()
            self._closed = True
        self._connection.close()
        self._lifeline.close()
        if self._end != self._process.sentinel:
            with contextlib.suppress(OSError):
                os.close(self._end)
            self._end = self._process.sentinel

    def _time_out(self) -> None:
        self._timed_out = True
        self._kill_group()

    def _kill_group(self) -> None:
        if self._closed or self._process.pid is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # So young that it has no group of its own yet, or gone already.
            with contextlib.suppress(ProcessLookupError, ValueError):
                self._process.kill()


def _end_of(process: Any) -> int:
    """Return a descriptor that is readable once a process has ended.

    Where the kernel has none of its own, the sentinel has to do; it stays silent as long as
    anything that the process has forked is alive.
    """
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            return os.pidfd_open(process.pid)
    sentinel: int = process.sentinel
    return sentinel


def _how(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:  # a real-time signal has no name
        return f"was killed by signal {-exit_code}"


def run_isolated(
    config: ExperimentConfig,
    *,
    timeout_s: float,
    log: Path,
    timeseries: Path | None = None,
    measure: Measure = default_measure,
    settings: Settings | None = None,
    control: Control | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Outcome:
    """Measure one experiment in a fresh process and return what came of it."""
    worker = Worker(config, measure=measure, log=log)
    own = control or Control()
    try:
        return worker.run(
            settings=settings or Settings(),
            timeseries=timeseries or log.with_name("timeseries.parquet"),
            timeout_s=timeout_s,
            control=own,
            on_stage=on_stage or _say_nothing,
        )
    finally:
        if control is None:
            own.close()


def _say_nothing(stage: str) -> None:
    """Take the place of a caller's callback."""


def _tail(log: Path, start: int) -> str:
    """Return the last lines that this attempt wrote to the log."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return " | ".join(line.strip() for line in lines[-_TAIL_LINES:])[-400:]
