"""The child's side of a run: one process, one measurement, one outcome."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import os
import signal
import socket
import sys
from multiprocessing import util
from multiprocessing.connection import Connection

from llem_config import ExperimentConfig
from llem_energy import measure as default_measure
from llem_energy.backends import preload
from llem_runner._executors.local.message_pipe import receive_message, send_message
from llem_runner._executors.local.messages import Ready, Stage, decode_task, encode
from llem_runner._executors.local.process_tree import TAG_VARIABLE
from llem_runner._executors.measure import measure_task
from llem_runner._executors.task import Measure

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def child_main(
    end: socket.socket,
    lifeline: Connection,
    log: str,
    parent_pid: int,
    config: str,
    tag: str,
    measure: Measure,
) -> None:
    """Import, wait for the task, measure, send the outcome, exit.

    Args:
        end: to the parent.
        lifeline: closed when the parent ends; nothing is ever sent on it.
        log: file for everything that is written to stdout and stderr, by native code too.
        parent_pid: the process that this one must not outlive.
        config: the experiment as JSON; what it needs is imported before the task arrives.
        tag: goes into the environment of everything that this process starts.
        measure: the function to call.
    """
    end.setblocking(True)
    _redirect_output(log)
    os.environ[TAG_VARIABLE] = tag
    _detach(parent_pid)
    _start_guard(lifeline, end)
    # Imported modules are never freed, but the collector would examine them again and again: a
    # fifth of the time to import torch.
    gc.disable()
    if measure is default_measure:
        # The run needs this anyway; now it is imported during the gap before the run.
        with contextlib.suppress(Exception):  # an error comes again, and is reported, in the run
            preload(ExperimentConfig.model_validate_json(config))
    gc.freeze()  # `measure` does so again; the first full collection comes before that
    gc.enable()
    try:
        send_message(end, encode(Ready()))
        task = decode_task(receive_message(end))
    except (EOFError, OSError):
        os._exit(0)  # the parent does not need this run
    outcome = measure_task(measure, task, lambda name: send_message(end, encode(Stage(name))))
    send_message(end, encode(outcome))
    sys.stdout.flush()
    sys.stderr.flush()
    # Skips the interpreter's teardown, about a second with torch loaded. The model is freed and the
    # parent has the result. Only what outlives the process is released: progress bars of libraries
    # hold a named semaphore, which would stay until the parent ends.
    with contextlib.suppress(Exception):
        util._run_finalizers(0)  # type: ignore[attr-defined]  # not in the stubs
    os._exit(0)


def _detach(parent_pid: int) -> None:
    # A session of its own: Ctrl-C reaches the parent only, which decides what happens, and
    # everything that the run starts can be killed as one group.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked while it was started
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:  # it died before the line above could take effect
            os._exit(1)


def _start_guard(lifeline: Connection, end: socket.socket) -> None:
    """Start a process that kills this whole group once the parent is gone.

    The signal above ends this process only. What the run has started, such as compilers or data
    loaders, would stay and could keep the GPU busy. The guard only sleeps. It is in the group, so
    the parent's own clean-up ends it too.
    """
    if sys.platform != "linux" or os.fork() != 0:
        lifeline.close()
        return
    end.close()
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os.killpg(0, signal.SIGKILL)


def _redirect_output(log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    faulthandler.enable()  # a crash in native code leaves its Python stack in the log
    # So does a run that hangs, in native code too: the parent sends this signal before it kills.
    faulthandler.register(signal.SIGUSR1)
