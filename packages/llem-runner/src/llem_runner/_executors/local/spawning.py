"""A new Python process: started without interrupts, waitable, and killed with its whole group.

It is not a process of `multiprocessing`. That would import the caller's main module again, so every
script would need a guard and no notebook could define one; it also refuses callers that are daemons.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing.spawn
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path

from llem_runner._errors import StudyError
from llem_runner._executors.local.exit_reason import ExitCode

# -P: the working directory of the caller must not shadow a module of the standard library.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from llem_runner._executors.local.child import main; main()"
)
_N_DESCRIPTORS = 32
"""Free file descriptors that a study needs. It has up to 20 open; libraries of the caller and of the
run, which inherits the limit, open others."""


class SpawnedProcess:
    """A child process that makes itself the leader of a new group and session."""

    def __init__(
        self, descriptors: Sequence[int], output: int, variables: Mapping[str, str]
    ) -> None:
        """Start it.

        Args:
            descriptors: what the process inherits; their numbers are its arguments, in this order.
            output: descriptor of its stdout and stderr.
            variables: of its environment, beside those of this process.

        Raises:
            StudyError: the system cannot start it.
        """
        with _without_interrupts():
            command = [
                *interpreter(),
                *("-P", "-c", _PROGRAM),
                json.dumps(module_folders()),
                *map(str, descriptors),
                "llem-run",
            ]
            sentinel, end_of_child = os.pipe()
            try:
                # A new program rather than a fork: a forked child would inherit a CUDA context that
                # it cannot use, and our threads' locks.
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=[*descriptors, end_of_child],
                    env=os.environ | variables,
                )
            except OSError as error:
                os.close(sentinel)
                raise StudyError(
                    f"the process of a run cannot be started: {command[0]}: {error.strerror}"
                ) from error
            finally:
                os.close(end_of_child)
        self.pid = self._process.pid
        self._end = _end_descriptor(self.pid, sentinel)
        self._is_reaped = self._is_closed = False
        self._exit_code: ExitCode = None

    def fileno(self) -> int:
        """Return a descriptor that is readable once the process has ended."""
        return self._end

    def wait(self, timeout_s: float) -> bool:
        """Wait for the process to end; return whether it has."""
        return self._is_reaped or bool(wait([self._end], timeout=timeout_s))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it is still there."""
        if not self._is_reaped:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)

    def kill_group(self) -> None:
        """Kill the process and its group.

        Only before `reap`, after which the kernel may give the number of the group to another.
        """
        if self._is_reaped:
            return
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # So young that it has no group of its own yet, or gone already.
            self.signal(signal.SIGKILL)

    def reap(self, timeout_s: float) -> ExitCode:
        """Collect the process, and return its exit code.

        None if it has not ended by then: the kernel keeps a killed process that waits for a device.
        """
        if not self._is_reaped:
            wait([self._end], timeout=timeout_s)
            self._exit_code = self._collect()
            self._is_reaped = True
        return self._exit_code

    def _collect(self) -> ExitCode:
        # `Popen.poll` reports 0 for a process that it cannot collect.
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            self._process.returncode = 0  # so that `Popen` does not warn
            return "unknown"
        if pid == 0:
            return None
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._process.returncode

    def close(self) -> None:
        """Close the descriptor; safe to call twice."""
        if not self._is_closed:
            self._is_closed = True
            os.close(self._end)


def check_can_start() -> None:
    """Return if this process can start the process of a run.

    Raises:
        StudyError: it cannot, e.g. because it is a frozen program; the message says what to do.
    """
    executable = interpreter()[0]
    is_frozen = getattr(sys, "frozen", False) and executable == sys.executable
    if is_frozen or not executable:
        raise StudyError(
            "every run needs a process of its own, but this program has no Python interpreter to "
            "start (it is frozen or embedded). Name one that has llem installed with "
            "`multiprocessing.set_executable(PATH)`, or measure in this process with the setting "
            "`execution.executor: inline`"
        )
    if not os.access(executable, os.X_OK):
        raise StudyError(
            f"every run needs a process of its own, but the Python interpreter {executable} cannot "
            "be executed; start this program with one that exists"
        )
    descriptors: list[int] = []
    try:
        descriptors.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(_N_DESCRIPTORS))
    except OSError as error:
        raise StudyError(
            f"a study needs {_N_DESCRIPTORS} free file descriptors: {error.strerror}. Raise the "
            "limit of the shell, e.g. `ulimit -n 1024`, or close files"
        ) from error
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def interpreter() -> list[str]:
    """Return the Python interpreter, with the options that this process was started with."""
    executable = os.fsdecode(multiprocessing.spawn.get_executable() or "")
    return [executable, *subprocess._args_from_interpreter_flags()]  # type: ignore[attr-defined]


def module_folders() -> list[str]:
    """Return `sys.path` for the process, which has the same working directory."""
    folders = [folder for folder in sys.path if isinstance(folder, str)]
    if "" not in folders:  # it means the working directory, whichever that is at the time
        return folders
    try:
        here = str(Path.cwd())
    except OSError:  # removed
        return [folder for folder in folders if folder]
    return [folder or here for folder in folders]


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block SIGINT, here and in the process that is started, which unblocks it when it is ready.

    A terminal sends it to all of its processes; one that still imports would print a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_descriptor(pid: int, sentinel: int) -> int:
    """Return a descriptor that is readable once a process has ended.

    Without pidfd it is the sentinel, which stays silent while anything that the process has forked
    is alive.
    """
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            os.close(sentinel)
            return descriptor
    return sentinel
