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
from llem_energy import measure as default_measure
from llem_runner._control import Control
from llem_runner._messages import (
    Failed,
    Finished,
    Interrupted,
    Outcome,
    Stage,
    Task,
    decode,
    encode,
)
from llem_runner._worker import Measure, worker_main

STOP_GRACE_S = 2.0  # between the request to stop and the kill
_EXIT_GRACE_S = 5.0  # for a child that has sent its last message
_TAIL_LINES = 3


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
        self._log = log
        self._config = config.model_dump_json()
        self._process = context.Process(
            target=worker_main,
            args=(child_end, str(log), os.getpid(), self._config, measure),
            name="llem-worker",
            daemon=False,
        )
        self._delivered = False
        self._process.start()
        child_end.close()  # else the pipe never ends when the child dies

    @property
    def pid(self) -> int | None:
        """Return the child's process id, which is also that of its group."""
        return self._process.pid

    def run(
        self,
        *,
        settings: Settings,
        timeseries: Path,
        timeout_s: float,
        control: Control,
        on_stage: Callable[[str], None],
    ) -> Outcome:
        """Let the child measure and return what came of it; the child is gone afterwards."""
        task = Task(self._config, settings.model_dump_json(), str(timeseries))
        watchdog = threading.Timer(timeout_s, self._kill_group)
        watchdog.daemon = True  # covers a child that hangs in the middle of a message
        deadline_s = time.perf_counter() + timeout_s
        watchdog.start()
        try:
            return self._listen(task, deadline_s, timeout_s, control, on_stage)
        except KeyboardInterrupt:
            # A caller without signal handlers of its own, such as a notebook.
            self._ask_to_stop(control)
            raise
        finally:
            watchdog.cancel()
            self.close()

    def _listen(
        self,
        task: Task,
        deadline_s: float,
        timeout_s: float,
        control: Control,
        on_stage: Callable[[str], None],
    ) -> Outcome:
        with contextlib.suppress(OSError):  # a child that is dead already is noticed below
            self._connection.send_bytes(encode(task))
        # Read before join: a result above the pipe's buffer (64 KiB on Linux) blocks the child in
        # `send` until we read, so joining first would wait for the deadline and kill a good run.
        watched: list[Any] = [self._connection, self._process.sentinel, control.fileno()]
        while True:
            ready = wait(watched, timeout=max(0.0, deadline_s - time.perf_counter()))
            if control.fileno() in ready:
                return self._ask_to_stop(control)
            if self._connection in ready:
                outcome = self._receive(on_stage)
                if outcome is not None:
                    return outcome
            elif ready:  # the sentinel alone: dead, and nothing left in the pipe
                return self._died()
            if time.perf_counter() >= deadline_s:
                return Failed("Timeout", f"no result within {timeout_s:g} s; see {self._log}")

    def _receive(self, on_stage: Callable[[str], None]) -> Finished | Failed | None:
        try:
            message = decode(self._connection.recv_bytes())
        except (EOFError, OSError):
            wait([self._process.sentinel], timeout=_EXIT_GRACE_S)
            return self._died()
        except msgspec.MsgspecError as error:
            return Failed("BadMessage", f"the run sent something unreadable: {error}")
        match message:
            case Stage(name):
                on_stage(name)
                return None
            case Finished() | Failed():
                self._delivered = True
                return message

    def _died(self) -> Failed:
        self._process.join(_EXIT_GRACE_S)
        code = self._process.exitcode
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        else:
            how = f"ended with exit code {code}"
        tail = _tail(self._log)
        last = f"; its last words: {tail}" if tail else ""
        return Failed("ProcessDied", f"the run's process {how} without a result{last}")

    def _ask_to_stop(self, control: Control) -> Interrupted:
        control.acknowledge()
        if self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._process.pid, signal.SIGTERM)
        # A second request during the grace ends it.
        with contextlib.suppress(KeyboardInterrupt):
            wait([self._process.sentinel, control.fileno()], timeout=STOP_GRACE_S)
        return Interrupted()

    def close(self) -> None:
        """See to it that the child and everything it started are gone; safe to call twice."""
        self._connection.close()
        if self._delivered:
            wait([self._process.sentinel], timeout=_EXIT_GRACE_S)
        # Before the child is reaped, so that its number still means its own group.
        self._kill_group()
        self._process.join()

    def _kill_group(self) -> None:
        if self._process.pid is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # So young that it has no group of its own yet, or gone already.
            with contextlib.suppress(ProcessLookupError, ValueError):
                self._process.kill()


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


def _tail(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return " | ".join(line.strip() for line in lines[-_TAIL_LINES:])[-400:]
