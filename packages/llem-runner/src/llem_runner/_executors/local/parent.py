"""The parent's side of a run: a new child process gets its task, reports, and is gone afterwards.

The parent sleeps while the child measures: it waits for a message, the end of the child, a request
to stop and the deadline all at once, and uses no processor time.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import wait
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from llem_config import ExperimentConfig
from llem_runner._control import MAX_WAIT_S, Control
from llem_runner._errors import StudyError
from llem_runner._executors.local.bytecode import find_bytecode_cache
from llem_runner._executors.local.exit_reason import ExitCode, OomCounts, explain_death
from llem_runner._executors.local.importing import pickle_measure
from llem_runner._executors.local.message_pipe import (
    MalformedMessage,
    MessageReader,
    message_sockets,
    send_message,
)
from llem_runner._executors.local.messages import Ready, Stage, Start, decode, encode
from llem_runner._executors.local.process_tree import ProcessTree
from llem_runner._executors.local.spawning import SpawnedProcess
from llem_runner._executors.local.stall_detector import StallDetector
from llem_runner._executors.log_file import close_log, first_lines, last_lines, open_log
from llem_runner._executors.protocol import Leftovers
from llem_runner._executors.task import Measure, OnStage, Task
from llem_runner._outcome import Failed, Finished, Interrupted, Outcome, Reason

_STOP_GRACE_S = 2.0  # between the request to stop and the kill
_TERM_GRACE_S = 1.0  # between the end of a child by SIGTERM and a request to stop
_EXIT_GRACE_S = 5.0  # for a child that has sent its last message
_KILL_TIMEOUT_S = 10.0  # for a killed process to be gone
_STACK_TIMEOUT_S = 0.2  # for a child that hangs to write its stack


class ChildProcess:
    """A child process that measures one run. It imports ahead, and waits for its task."""

    def __init__(
        self,
        config: ExperimentConfig,
        *,
        measure: Measure,
        log: Path,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Start the process; it touches neither GPU nor model until `measure`.

        Args:
            config: the experiment, so that the process can import what it will need.
            measure: importable by the child.
            log: takes the child's stdout and stderr; its folder exists.
            variables: of its environment, beside those of this process.

        Raises:
            StudyError: the log cannot be written, or the system cannot start a process.
        """
        self._log = log
        self._oom_before = OomCounts.read()
        self._is_ready = self._has_reported = self._timed_out = self._is_gone = False
        self._ended_s: float | None = None
        self._alive_pids: tuple[int, ...] = ()
        tag = secrets.token_hex(8)
        bytecode = find_bytecode_cache(config.backend).folder
        start = Start(
            os.getpid(),
            tag,
            config.model_dump_json(),
            *pickle_measure(measure),
            None if bytecode is None else str(bytecode),
        )
        with contextlib.ExitStack() as opened, contextlib.ExitStack() as for_child:
            output = for_child.enter_context(open_log(log))
            self._log_start = output.tell()
            try:
                self._socket, child_end = message_sockets()
                opened.callback(self._socket.close)
                for_child.callback(child_end.close)  # else the socket never reports its end
                lifeline, ours = os.pipe()
            except OSError as error:
                raise StudyError(f"a run cannot be started: {error.strerror}") from error
            opened.callback(os.close, ours)
            for_child.callback(os.close, lifeline)
            descriptors = [child_end.fileno(), lifeline]
            self._process = SpawnedProcess(descriptors, output.fileno(), variables)
            opened.callback(self._process.close)
            self._descriptors = opened.pop_all()
        with contextlib.suppress(OSError):  # a child that is dead already is noticed in `measure`
            send_message(self._socket, encode(start))
        self._reader = MessageReader(self._socket)
        self._tree = ProcessTree(self._process.pid, tag)

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._process.pid

    @property
    def ended_s(self) -> float | None:
        """Return when the last message came, on the clock of `time.perf_counter`."""
        return self._ended_s

    def measure(
        self,
        task: Task,
        *,
        control: Control,
        on_stage: OnStage,
        on_result: Callable[[], None],
    ) -> Outcome:
        """Let the child measure; it is gone afterwards. See `Execution.measure`.

        Raises:
            StudyError: the process ended before it could begin; every other run would too.
        """
        timeout_s = min(task.timeout_s, threading.TIMEOUT_MAX)
        watchdog = threading.Timer(timeout_s, self._time_out)
        watchdog.daemon = True  # covers a child that does not read its task
        deadline_s = time.perf_counter() + task.timeout_s
        watchdog.start()
        try:
            with contextlib.suppress(OSError):  # a child that is dead already is noticed below
                send_message(self._socket, encode(task))
            watchdog.cancel()
            if not wait([self._socket], timeout=0):
                on_stage("import")  # else it was ready in time, as after every longer gap
            outcome = self._listen(task, deadline_s, control, on_stage)
            if isinstance(outcome, Finished):
                on_result()
        except KeyboardInterrupt:
            # The caller has no signal handler that uses `control`, as in a notebook.
            self._stop(control)
            raise
        finally:
            watchdog.cancel()
            self.close()
        if isinstance(outcome, Failed) and not outcome.log_tail:
            tail = last_lines(self._log, self._log_start)
            outcome = msgspec.structs.replace(outcome, log_tail=tail)
        return outcome

    def _listen(
        self, task: Task, deadline_s: float, control: Control, on_stage: OnStage
    ) -> Outcome:
        # Read before the child is joined: a result larger than the socket's buffer blocks the
        # child in `send` until we read it, so joining first would wait for the deadline and kill a
        # good run.
        watched: list[Any] = [self._socket, self._process.fileno(), control.fileno()]
        stall = StallDetector(self._tree, self._log, task.stall_s)
        while True:
            left_s = max(0.0, deadline_s - time.perf_counter())
            ready = wait(watched, timeout=min(left_s, stall.left_s, MAX_WAIT_S))
            if control.fileno() in ready:
                return self._stop(control)
            if self._socket in ready:
                stall.restart()
                outcome = self._receive(on_stage, control)
                if outcome is not None:
                    return outcome
            elif ready:  # only the process: it is dead, and nothing is left in the socket
                return self._explain_death(control)
            # Also after a message: a run that reports stages without a pause must end too.
            if time.perf_counter() >= deadline_s:
                problem = f"no result within {task.timeout_s:g} s (execution.timeout_seconds)"
                return self._give_up("Timeout", problem, "timeout")
            if stall.is_stalled():
                problem = f"no message, log line or processor time for {task.stall_s:g} s"
                return self._give_up("Stalled", problem, "stalled")

    def _receive(
        self, on_stage: OnStage, control: Control
    ) -> Finished | Failed | Interrupted | None:
        try:
            messages = [decode(content) for content in self._reader.read()]
        except (EOFError, OSError):
            return self._explain_death(control)
        except (msgspec.MsgspecError, MalformedMessage) as error:
            text = f"the run's process sent an unreadable message: {error}"
            return Failed("BadMessage", text, reason="garbage")
        for message in messages:
            match message:
                case Ready():
                    self._is_ready = True
                case Stage(name):
                    on_stage(name)
                case Finished() | Failed():
                    self._ended_s = time.perf_counter()
                    self._has_reported = True
                    return message
        return None

    def _explain_death(self, control: Control) -> Failed | Interrupted:
        has_ended = self._process.wait(_EXIT_GRACE_S)
        exit_code = self._kill()
        # A batch system sends SIGTERM to all processes of a job, so the child may end first.
        if exit_code == -signal.SIGTERM and wait([control.fileno()], timeout=_TERM_GRACE_S):
            control.acknowledge()
            return Interrupted()
        if self._timed_out:
            text = "the run's process did not read its task in time"
            return Failed("Timeout", text, reason="timeout")
        return explain_death(
            exit_code if has_ended else None,
            self._oom_before,
            is_ready=self._is_ready,
            log_tail=last_lines(self._log, self._log_start),
        )

    def _give_up(self, error_type: str, message: str, reason: Reason) -> Failed:
        """Let the child write the stack where it hangs, then ask it to end."""
        size = self._log.stat().st_size if self._log.exists() else 0
        self._process.signal(signal.SIGUSR1)
        self._process.wait(_STACK_TIMEOUT_S)
        stack = first_lines(self._log, size)
        self._process.signal(signal.SIGTERM)
        self._process.wait(_STOP_GRACE_S)
        return Failed(error_type, message, reason=reason, log_tail=stack)

    def _stop(self, control: Control) -> Interrupted:
        control.acknowledge()
        self._process.signal(signal.SIGTERM)
        if control.n_requests < 2:
            # A second request during the grace ends it.
            with contextlib.suppress(KeyboardInterrupt):
                wait([self._process.fileno(), control.fileno()], timeout=_STOP_GRACE_S)
        return Interrupted()

    def close(self) -> Leftovers:
        """End the child and everything that it has started; safe to call twice."""
        if not self._is_gone:
            if self._has_reported:
                self._process.wait(_EXIT_GRACE_S)
            self._kill()
        close_log(self._log, self._log_start)
        self._descriptors.close()
        pids = (self.pid, *self._alive_pids)
        return Leftovers(pids=pids, alive_pids=self._alive_pids)

    def _kill(self) -> ExitCode:
        """Kill whatever is left, and return the exit code of the child."""
        self._process.kill_group()  # before it is reaped, while its number still means its group
        exit_code = self._process.reap(_KILL_TIMEOUT_S)
        self._is_gone = True
        self._alive_pids = self._tree.kill(_KILL_TIMEOUT_S)
        return exit_code

    def _time_out(self) -> None:
        self._timed_out = True
        self._process.kill_group()
