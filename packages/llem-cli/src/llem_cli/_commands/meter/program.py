"""Start the measured program, and wait for it; also for one that runs already."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from llem_cli._commands.meter.signals import FATAL, SignalQueue
from llem_cli._display.streams import results
from llem_config import LlemError
from llem_config.text import shortened

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes of shells for a program that cannot be started."""
_TICK_S = 1.0
_LOOK_S = 0.05  # between two looks for signals while another program is watched


class StartError(LlemError):
    """The program cannot be started; `exit_code` is that of shells for the reason."""

    def __init__(self, problem: str, exit_code: int) -> None:
        super().__init__(problem)
        self.exit_code = exit_code


class Ended(NamedTuple):
    """How a program ended."""

    code: int
    """Its exit code; 128 + N if signal N ended it, as in a shell."""
    cpu_time_s: float | None
    """Of it and those of its children for which it waited; None if it was not our child."""
    stopped_by: int | None
    """The signal to stop that this process received meanwhile."""


def check_startable(command: Sequence[str]) -> None:
    """Check that a program exists, which costs nothing, before the meter is opened.

    Raises:
        StartError: there is none of this name that may be executed.
    """
    name = command[0]
    if shutil.which(name) is None:
        code = errno.EACCES if os.path.lexists(name) else errno.ENOENT
        raise _cannot_start(name, OSError(code, os.strerror(code)))


def run_program(
    command: Sequence[str],
    signals: SignalQueue,
    on_tick: Callable[[], None],
    *,
    with_input: bool = True,
    with_output: bool = True,
) -> Ended:
    """Run a program to its end, with the standard streams of this process.

    Args:
        command: the program and its arguments.
        signals: that arrive here; the program receives them.
        on_tick: called every second.
        with_input: whether it reads our stdin; else it finds the end of a file.
        with_output: whether its stdout is ours; else it is discarded.

    Raises:
        StartError: it cannot be executed.
    """
    pid = _start(command, signals, with_input=with_input, with_output=with_output)
    stopped_by = None
    due_s = time.monotonic() + _TICK_S
    while True:
        # Without waiting, so that a signal can be passed on at any time.
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            cpu_time_s = usage.ru_utime + usage.ru_stime
            return Ended(FATAL - code if code < 0 else code, cpu_time_s, stopped_by)
        received = signals.wait(due_s - time.monotonic())
        if received is not None:
            stopped_by = received.number if received.stops else stopped_by
            if not received.is_for_all:
                os.kill(pid, received.number)
        if time.monotonic() >= due_s:
            on_tick()
            due_s = time.monotonic() + _TICK_S


def open_process(pid: int) -> int:
    """Return a descriptor of a process that runs, which can be read once it has ended.

    Raises:
        StartError: there is no such process.
    """
    try:
        return os.pidfd_open(pid)
    except (OSError, OverflowError):
        problem = f"--pid: expected the id of a process that runs, found {pid}"
        raise StartError(problem, NOT_FOUND) from None


def wait_for(
    process: int | None, seconds: float | None, signals: SignalQueue, on_tick: Callable[[], None]
) -> Ended:
    """Wait until a process has ended or the time is over, or a signal to stop arrives.

    Args:
        process: from `open_process`; None waits for the time only.
        seconds: None waits for the process only.
        signals: that arrive here.
        on_tick: called every second.
    """
    end_s = None if seconds is None else time.monotonic() + seconds
    due_s = time.monotonic() + _TICK_S
    while True:
        left_s = _TICK_S if end_s is None else end_s - time.monotonic()
        if left_s <= 0 or (process is not None and _ends_within(process, min(left_s, _LOOK_S))):
            return Ended(0, None, None)
        received = signals.wait(0 if process is not None else min(left_s, _TICK_S))
        if received is not None and received.stops:
            return Ended(FATAL + received.number, None, received.number)
        if time.monotonic() >= due_s:
            on_tick()
            due_s = time.monotonic() + _TICK_S


def _ends_within(process: int, seconds: float) -> bool:
    return bool(select.select([process], [], [], seconds)[0])


def _start(
    command: Sequence[str], signals: SignalQueue, *, with_input: bool, with_output: bool
) -> int:
    null = os.open(os.devnull, os.O_RDWR)
    try:
        # Our own stdout is kept for results, and descriptor 1 is stderr by now.
        actions = [(os.POSIX_SPAWN_DUP2, results().fileno() if with_output else null, 1)]
        if not with_input:
            actions.append((os.POSIX_SPAWN_DUP2, null, 0))
        results().flush()
        return os.posix_spawnp(
            command[0],
            list(command),
            os.environ,
            file_actions=actions,
            setsigmask=signals.mask_before,
            setsigdef=_ignored_by_python(),
        )
    except (OSError, ValueError) as error:  # a null character in an argument is a ValueError
        raise _cannot_start(command[0], error) from None
    finally:
        with contextlib.suppress(OSError):
            os.close(null)


def _ignored_by_python() -> list[int]:
    """Return the signals that Python ignores for itself; programs expect them to be set."""
    return [signal.SIGPIPE, signal.SIGXFSZ]


def _cannot_start(name: str, error: OSError | ValueError) -> StartError:
    shown = shortened(name, 200)
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.ENOENT and not os.path.lexists(name):
        return StartError(f"command not found: {shown}; check its name and PATH", NOT_FOUND)
    if code == errno.ENOENT:
        return StartError(
            f"{shown} cannot be started: the interpreter in its first line does not exist",
            NOT_FOUND,
        )
    if code == errno.EACCES:
        return StartError(
            f"{shown} cannot be executed: it is a folder, or a file without permission to execute "
            "it; set that with chmod +x, or name the program that runs it",
            NOT_EXECUTABLE,
        )
    if code == errno.ENOEXEC:
        return StartError(
            f"{shown} cannot be executed: it is no program of this machine and has no line #!; name "
            "the program that runs it, such as sh",
            NOT_EXECUTABLE,
        )
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return StartError(f"{shown} cannot be started: {reason}", NOT_EXECUTABLE)
