"""Stand-ins for `measure` that raise, die, or return a result that cannot be stored."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

from fakes.measures.succeeding import quick
from fakes.results import make_result

from llem_config import ExperimentConfig
from llem_energy import BackendError, ExperimentResult

BAD_N = 13
"""`fails_at_bad_n` fails for experiments with this `n`."""


def killed(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Die by SIGKILL, as from the out-of-memory killer of the kernel."""
    print("about to die", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return make_result(config)


def returns_nan(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Return a value that is NaN."""
    return make_result(config, tokens_per_second=float("nan"))


def exits(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Exit with code 0 and without a result."""
    os._exit(0)


def raises(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Raise an error of llem."""
    raise BackendError("the model does not fit")


def fails_at_bad_n(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Raise for experiments with `BAD_N`, return for all others."""
    if config.n == BAD_N:
        raise BackendError("this one does not work")
    return quick(config, **rest)


def forks_and_dies(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Die and leave a forked process that still holds all open files."""
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
    return make_result(config)


def dies_by_an_unnamed_signal(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Die by a real-time signal, which has no name."""
    os.kill(os.getpid(), signal.SIGRTMIN + 6)
    return make_result(config)


def returns_too_large_an_integer(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Return an integer that a message cannot encode."""
    return make_result(config, effective_config={"x": 10**30})


def raises_invalid_utf8(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Raise with a text that UTF-8 cannot encode, such as a file name in another encoding."""
    raise BackendError("no such file: caf\udce9")


def raises_and_then_exits(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Raise at the first attempt, exit without a message at the second."""
    mark = Path(config.model).with_suffix(".first")
    if not mark.exists():
        mark.touch()
        raise BackendError("output of the first attempt")
    os._exit(0)


def dies_with_a_semaphore(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Create a named semaphore, write its name to the file `.semaphore`, and die."""
    lock: Any = multiprocessing.get_context("spawn").Lock()
    Path(config.model).with_suffix(".semaphore").write_text(lock._semlock.name.lstrip("/"))
    os.kill(os.getpid(), signal.SIGKILL)
    return make_result(config)


class OutOfMemoryError(RuntimeError):
    """Has the same name as the error of torch."""


def runs_out_of_gpu_memory(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Raise the error of a backend caused by one of torch."""

    raise BackendError("the model cannot be loaded") from OutOfMemoryError(
        "Tried to allocate 2 GiB"
    )


def exhausts_memory(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Exceed the memory limit of the control group named in the file `.group`."""
    group = Path(config.model).with_suffix(".group").read_text()
    (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    blocks = []
    while True:
        blocks.append(bytearray(b"x") * (8 * 2**20))


def crashes_once(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Die at the first attempt, return at the second."""
    mark = Path(config.model).with_suffix(f".crashed-{config.n}")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    return quick(config, **rest)


def kills_its_study_once(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Kill the process that has started this run, the first time that any run calls this."""
    flag = Path(os.environ["LLEM_CACHE"]).with_name("killed")
    flag.parent.mkdir(parents=True, exist_ok=True)
    try:
        flag.touch(exist_ok=False)
    except FileExistsError:
        return make_result(config)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
    raise AssertionError("this process outlived its parent")
