"""The child's side: one process, one measurement, one last message.

The only place that catches `Exception`: whatever a measurement raises becomes a `Failed`.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import os
import signal
import sys
from multiprocessing import util
from multiprocessing.connection import Connection

from llem_config import ExperimentConfig
from llem_energy import measure as default_measure
from llem_energy import preload
from llem_runner._executors.local.messages import Message, Ready, Stage, decode_task, encode
from llem_runner._executors.local.process_tree import MARK
from llem_runner._executors.measure import Measure, attempt

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def worker_main(
    connection: Connection,
    lifeline: Connection,
    log: str,
    parent_pid: int,
    config: str,
    mark: str,
    measure: Measure,
) -> None:
    """Run in the child: import, wait for the task, measure, answer, leave.

    Args:
        connection: to the parent.
        lifeline: ends when the parent does; nothing is ever sent on it.
        log: file that takes everything written to stdout and stderr, by native code too.
        parent_pid: the process that this one must not outlive.
        config: the experiment as JSON; what it needs is imported ahead of the task.
        mark: goes into the environment of whatever this process starts.
        measure: what to call.
    """
    _redirect(log)
    os.environ[MARK] = mark
    _detach(parent_pid)
    _guard(lifeline, connection)
    # Nothing that is imported goes away again, but collections would look for it all the while: a
    # fifth of the time to import torch.
    gc.disable()
    if measure is default_measure:
        # It has to load this anyway; now the gap before the run still passes.
        with contextlib.suppress(Exception):  # a failure comes again, and is reported, in the run
            preload(ExperimentConfig.model_validate_json(config))
    gc.freeze()  # `measure` does so again; the first full collection comes before that
    gc.enable()
    try:
        _send(connection, Ready())
        task = decode_task(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(0)  # not needed after all
    outcome = attempt(measure, task, lambda name: _send(connection, Stage(name)))
    _send(connection, outcome)
    sys.stdout.flush()
    sys.stderr.flush()
    # Skips the interpreter's teardown, about a second with torch loaded. The model is freed and
    # the result is with the parent; nothing else here is worth keeping but what is the machine's:
    # progress bars of libraries hold a named semaphore, which would stay until the parent ends.
    with contextlib.suppress(Exception):
        util._run_finalizers(0)  # type: ignore[attr-defined]  # not in the stubs
    os._exit(0)


def _send(connection: Connection, message: Message) -> None:
    connection.send_bytes(encode(message))


def _detach(parent_pid: int) -> None:
    # A session of its own: Ctrl-C reaches the parent only, which decides; and everything that the
    # run starts can be killed as one group.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # held back while it was started
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:  # it died before the line above could take effect
            os._exit(1)


def _guard(lifeline: Connection, connection: Connection) -> None:
    """Start a process that ends this whole group once the parent is gone.

    The signal above ends this process alone; what the run itself has started, such as compilers
    or data loaders, would stay and could keep the GPU busy. The guard only sleeps. It is one of
    the group, so the parent's own clean-up ends it too.
    """
    if sys.platform != "linux" or os.fork() != 0:
        lifeline.close()
        return
    connection.close()
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os.killpg(0, signal.SIGKILL)


def _redirect(log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    faulthandler.enable()  # a crash in native code leaves its Python stack in the log
    # So does a run that hangs, in native code too: the parent asks before it kills.
    faulthandler.register(signal.SIGUSR1)
