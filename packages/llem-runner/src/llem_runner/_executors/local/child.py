"""The child's side of a run: one process, one measurement, one outcome."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import multiprocessing
import os
import pickle
import signal
import socket
import sys
from multiprocessing import resource_tracker, spawn, util

from llem_config import ExperimentConfig
from llem_config.settings import ENV_RUN_TAG
from llem_energy import measure as default_measure
from llem_energy.backends import preload
from llem_runner._executors.local.bytecode import use_bytecode_cache
from llem_runner._executors.local.message_pipe import receive_message, send_message
from llem_runner._executors.local.messages import (
    Ready,
    Stage,
    Start,
    decode_start,
    decode_task,
    encode,
)
from llem_runner._executors.measure import measure_task
from llem_runner._executors.task import Measure

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Import, wait for the task, measure, send the outcome, exit.

    The arguments of the process are numbers of descriptors: a socket to the parent, and a pipe that
    closes when the parent ends.
    """
    socket_number, lifeline = (int(argument) for argument in sys.argv[2:4])
    sys.argv = ["llem-run"]  # a library that reads it must find no option of ours
    for number in (socket_number, lifeline):
        os.set_inheritable(number, False)
    end = socket.socket(fileno=socket_number)
    end.setblocking(True)
    # A crash in native code leaves its Python stack in the log. So does a run that hangs, in native
    # code too: the parent sends this signal before it kills.
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    try:
        start = decode_start(receive_message(end))
    except (EOFError, OSError):
        os._exit(0)  # the parent does not need this run
    if start.bytecode is not None:
        use_bytecode_cache(start.bytecode)  # before anything large is imported
    _detach(start)
    _start_guard(lifeline, end)
    measure = _import(start)
    try:
        send_message(end, encode(Ready()))
        task = decode_task(receive_message(end))
    except (EOFError, OSError):
        os._exit(0)
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


def _import(start: Start) -> Measure:
    """Import what the run will need, and return the function that measures."""
    # Imported modules are never freed, but the collector would examine them again and again: a
    # fifth of the time to import torch.
    gc.disable()
    if start.main_module is not None:
        # A study that this module starts while it is imported is refused; see `main_guard`.
        process = multiprocessing.current_process()
        process._inheriting = True  # type: ignore[attr-defined]
        spawn.prepare(start.main_module)
        del process._inheriting  # type: ignore[attr-defined]
    measure: Measure = pickle.loads(start.measure)
    if measure is default_measure:
        # The run needs this anyway; now it is imported during the gap before the run.
        with contextlib.suppress(Exception):  # an error comes again, and is reported, in the run
            preload(ExperimentConfig.model_validate_json(start.config))
    gc.freeze()  # `measure` does so again; the first full collection comes before that
    gc.enable()
    return measure


def _detach(start: Start) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A caller may ignore it. Then libraries could not learn how the processes that they start ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # SIGINT is blocked while this process is started, the others maybe in the caller's thread.
    ours = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ours)
    # The tracker frees the named semaphores of libraries when this process was killed. So it is
    # started before this process has a group and a tag, by which all other processes are killed.
    resource_tracker.ensure_running()
    os.environ[ENV_RUN_TAG] = start.tag
    # A session of its own: Ctrl-C reaches the parent only, which decides what happens, and
    # everything that the run starts can be killed as one group.
    os.setsid()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != start.parent_pid:  # it died before the line above could take effect
            os._exit(1)


def _start_guard(lifeline: int, end: socket.socket) -> None:
    """Start a process that kills this whole group once the parent is gone.

    The signal above ends this process only. What the run has started, such as compilers or data
    loaders, would stay and could keep the GPU busy. The guard only sleeps. It is in the group, so
    the parent's own clean-up ends it too.
    """
    if sys.platform != "linux" or os.fork() != 0:
        os.close(lifeline)
        return
    end.close()
    with contextlib.suppress(OSError):
        os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)
