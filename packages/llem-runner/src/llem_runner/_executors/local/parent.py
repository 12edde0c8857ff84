"""The parent's side: a fresh process per run, told its task, listened to, and always gone after.

The parent sleeps while the child measures: it waits for the pipe, the child's end, a request to
stop and the deadline all at once, and uses no processor time of its own.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import msgspec

from llem_config import ExperimentConfig, Settings
from llem_energy import Carryover
from llem_runner._control import LONGEST_WAIT_S, Control
from llem_runner._errors import StudyError
from llem_runner._executors.local.child import worker_main
from llem_runner._executors.local.exit_reason import OomCounts, how_it_ended
from llem_runner._executors.local.log_file import first_lines, last_lines, trim
from llem_runner._executors.local.messages import Ready, Stage, Task, decode, encode
from llem_runner._executors.local.pipe_reader import FrameReader, Garbage
from llem_runner._executors.local.process_tree import Family
from llem_runner._executors.local.spawning import end_of, without_interrupts
from llem_runner._executors.local.stall_detector import StallWatch
from llem_runner._executors.measure import Measure
from llem_runner._outcome import Failed, Finished, Interrupted, Outcome, Reason

STOP_GRACE_S = 2.0  # between the request to stop and the kill
_EXIT_GRACE_S = 5.0  # for a child that has sent its last message
_GONE_AT_MOST_S = 10.0  # for a killed process to be gone
_STACK_S = 0.2  # for a hanging child to write where it hangs


class Worker:
    """One child process for one run. It imports ahead, and begins when told."""

    def __init__(self, config: ExperimentConfig, *, measure: Measure, log: Path) -> None:
        """Start the process; it touches neither GPU nor model until `run`.

        Args:
            config: the experiment, so that the process can import what it will need.
            measure: importable by the child.
            log: takes the child's stdout and stderr; its folder exists.

        Raises:
            StudyError: the log cannot be written.
        """
        # Spawn: a forked child would inherit a CUDA context it cannot use, and our threads' locks.
        context = multiprocessing.get_context("spawn")
        self._connection, child_end = context.Pipe(duplex=True)
        lifeline, self._lifeline = context.Pipe(duplex=False)
        self._log = log
        self._log_start = _writable(log)
        self._config = config.model_dump_json()
        self._oom_before = OomCounts.read()
        mark = secrets.token_hex(8)
        self._process = context.Process(
            target=worker_main,
            args=(child_end, lifeline, str(log), os.getpid(), self._config, mark, measure),
            name="llem-worker",
            daemon=False,
        )
        self._started = self._delivered = self._timed_out = self._closed = False
        self.ended_s: float | None = None
        """When the last message came, on the clock of `time.perf_counter`."""
        self.left_behind: tuple[int, ...] = ()
        """Once closed: processes of the run that could not be ended."""
        with without_interrupts():
            self._process.start()
        child_end.close()  # else the pipe never ends when the child dies
        lifeline.close()
        self._end = end_of(self._process)
        self._frames = FrameReader(self._connection.fileno())
        self._family = Family(self._process.pid or 0, mark)

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._family.leader

    def run(
        self,
        *,
        settings: Settings,
        timeseries: Path,
        timeout_s: float,
        control: Control,
        on_stage: Callable[[str], None],
        carryover: Carryover | None = None,
        stall_s: float = math.inf,
        on_result: Callable[[], None] | None = None,
    ) -> Outcome:
        """Let the child measure and return what came of it; the child is gone afterwards.

        `on_result` is called in between, when a result has arrived and the child is about to leave.

        Raises:
            StudyError: the process could not even start, so that no run of the study will.
        """
        known = carryover or Carryover()
        task = Task(self._config, settings.model_dump_json(), str(timeseries), known)
        watchdog = threading.Timer(timeout_s, self._time_out)
        watchdog.daemon = True  # covers a child that does not take its task
        deadline_s = time.perf_counter() + timeout_s
        watchdog.start()
        try:
            with contextlib.suppress(OSError):  # a child that is dead already is noticed below
                self._connection.send_bytes(encode(task))
            watchdog.cancel()
            if not wait([self._connection], timeout=0):
                on_stage("import")  # else it was ready in time, as after every longer gap
            outcome = self._listen(deadline_s, timeout_s, control, on_stage, stall_s)
            if on_result is not None and isinstance(outcome, Finished):
                on_result()
        except KeyboardInterrupt:
            # A caller without signal handlers of its own, such as a notebook.
            self._ask_to_stop(control)
            raise
        finally:
            watchdog.cancel()
            self.close()
        if isinstance(outcome, Failed) and not outcome.log_tail:
            tail = last_lines(self._log, self._log_start)
            outcome = msgspec.structs.replace(outcome, log_tail=tail)
        return outcome

    def _listen(
        self,
        deadline_s: float,
        timeout_s: float,
        control: Control,
        on_stage: Callable[[str], None],
        stall_s: float,
    ) -> Outcome:
        # Read before join: a result above the pipe's buffer (64 KiB on Linux) blocks the child in
        # `send` until we read, so joining first would wait for the deadline and kill a good run.
        watched: list[Any] = [self._connection, self._end, control.fileno()]
        stall = StallWatch(self._family, self._log, stall_s)
        while True:
            left_s = max(0.0, deadline_s - time.perf_counter())
            ready = wait(watched, timeout=min(left_s, stall.left_s, LONGEST_WAIT_S))
            if control.fileno() in ready:
                return self._ask_to_stop(control)
            if self._connection in ready:
                stall.heard()
                outcome = self._receive(on_stage)
                if outcome is not None:
                    return outcome
            elif ready:  # its end alone: dead, and nothing left in the pipe
                return self._died()
            elif time.perf_counter() >= deadline_s:
                return self._give_up("Timeout", f"no result within {timeout_s:g} s", "timeout")
            elif stall.is_stalled():
                what = f"no message, no line of log and no processor time for {stall_s:g} s"
                return self._give_up("Stalled", what, "stalled")

    def _receive(self, on_stage: Callable[[str], None]) -> Finished | Failed | None:
        try:
            messages = [decode(frame) for frame in self._frames.read()]
        except (EOFError, OSError):
            return self._died()
        except (msgspec.MsgspecError, Garbage) as error:
            text = f"the run sent something unreadable: {error}"
            return Failed("BadMessage", text, reason="garbage")
        for message in messages:
            match message:
                case Ready():
                    self._started = True
                case Stage(name):
                    on_stage(name)
                case Finished() | Failed():
                    self.ended_s = time.perf_counter()
                    self._delivered = True
                    return message
        return None

    def _died(self) -> Failed:
        ended = bool(wait([self._end], timeout=_EXIT_GRACE_S))
        # Before the exit code is read, which gives the process's number back to the kernel.
        self._kill_group()
        self._process.join()
        self._closed = True
        self.left_behind = self._family.end(_GONE_AT_MOST_S)
        if self._timed_out:
            return Failed("Timeout", "the run did not take its task in time", reason="timeout")
        exit_code = self._process.exitcode if ended else None
        reason, how = how_it_ended(exit_code, self._oom_before, OomCounts.read())
        tail = last_lines(self._log, self._log_start)
        last = f"; its last words: {' | '.join(tail.splitlines()[-3:])[-400:]}" if tail else ""
        if not self._started and reason == "exit":
            # As every run after it would. One that was killed is a run like any other.
            raise StudyError(
                f"a run's process {how} before it could begin{last}. A script that runs a study "
                'must do so below `if __name__ == "__main__":`, and must be a file'
            )
        text = f"the run's process {how} without a result{last}"
        return Failed("ProcessDied", text, reason=reason)

    def _give_up(self, error_type: str, message: str, reason: Reason) -> Failed:
        """Let a run say where it hangs, ask it to end, and give it a moment to."""
        size = self._log.stat().st_size if self._log.exists() else 0
        self._signal(signal.SIGUSR1)
        wait([self._end], timeout=_STACK_S)
        stack = first_lines(self._log, size)
        self._signal(signal.SIGTERM)
        wait([self._end], timeout=STOP_GRACE_S)
        return Failed(error_type, message, reason=reason, log_tail=stack)

    def _ask_to_stop(self, control: Control) -> Interrupted:
        control.acknowledge()
        self._signal(signal.SIGTERM)
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
            # Before the child is reaped, so that its number still means its own group. Starting
            # another process reaps it too; on Linux its guard still holds the number then.
            self._kill_group()
            self._process.join(_GONE_AT_MOST_S)
            self._closed = True
            self.left_behind = self._family.end(_GONE_AT_MOST_S)
        trim(self._log)
        self._connection.close()
        self._lifeline.close()
        if self._end != self._process.sentinel:
            with contextlib.suppress(OSError):
                os.close(self._end)
            self._end = self._process.sentinel

    def _time_out(self) -> None:
        self._timed_out = True
        self._kill_group()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.pid is not None and not self._closed:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._process.pid, number)

    def _kill_group(self) -> None:
        if self._closed or self._process.pid is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # So young that it has no group of its own yet, or gone already.
            with contextlib.suppress(ProcessLookupError, ValueError):
                self._process.kill()


def _writable(log: Path) -> int:
    """Return the size of a log, which is there afterwards.

    Raises:
        StudyError: it cannot be written.
    """
    try:
        with log.open("ab") as file:
            return file.tell()
    except OSError as error:
        raise StudyError(f"{log} cannot be written: {error.strerror}") from error
