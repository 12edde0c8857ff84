"""Stand-ins for `llem_energy.measure` that real child processes run: quick, or broken in one way.

What a stand-in does to a given run is steered by fields of its experiment, since a child process
shares nothing else with the test.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fakes.results import make_result

from llem_config import ExperimentConfig, Settings
from llem_energy import BackendError, Carryover, ExperimentResult

OnStage = Callable[[str], None] | None
_KEPT: list[Any] = []
BAD_N = 13
"""`fails_at_bad_n` fails for experiments with this `n`."""


def quick(
    config: ExperimentConfig,
    *,
    settings: Settings | None = None,
    timeseries: Path | None = None,
    on_stage: OnStage = None,
    carryover: Carryover | None = None,
) -> ExperimentResult:
    """Succeed at once; says which process it was and what that looks like from inside."""
    if on_stage is not None:
        on_stage("window")
    process = multiprocessing.current_process()
    return make_result(
        config,
        effective_config={
            "pid": os.getpid(),
            "parent_pid": os.getppid(),
            "group": os.getpgid(0),
            "daemon": process.daemon,
            "start_method": multiprocessing.get_start_method(allow_none=True) or "spawn",
            "torch_loaded": "torch" in sys.modules,
            "timeseries": str(timeseries),
            "n_known_calibrations": len(carryover.calibration) if carryover else 0,
            "results_dir": str(settings.output.results_dir) if settings else None,
            "monotonic_s": time.monotonic(),
        },
    )


def tells_command_lines(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Succeed, and say how this process and the one above it look to `ps`."""
    lines = [Path(f"/proc/{pid}/cmdline").read_text() for pid in (os.getpid(), os.getppid())]
    has_token = bool(os.environ.get("HF_TOKEN"))
    return make_result(config, effective_config={"lines": lines, "has_token": has_token})


def big(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Return a result of about 10 MB."""
    return make_result(config, reproducibility_notes=tuple("x" * 1000 for _ in range(10_000)))


def hangs(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Never return."""
    time.sleep(600)
    return make_result(config)


def ignores_sigterm(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Never return, and refuse to be asked."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(config.model).with_suffix(".ready").write_text(str(os.getpid()))
    time.sleep(600)
    return make_result(config)


def is_slow_to_stop(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Note a request to stop, and 1.5 s later that nothing has ended this process since."""
    base = Path(config.model)

    def stop(*_: object) -> None:
        base.with_suffix(".asked").touch()
        time.sleep(1.5)
        base.with_suffix(".survived").touch()

    signal.signal(signal.SIGTERM, stop)
    base.with_suffix(".ready").touch()
    time.sleep(600)
    return make_result(config)


def killed(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Die by a signal, as by the kernel's out-of-memory killer."""
    print("about to die", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return make_result(config)


def gives_nan(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Return a figure that is no number."""
    return make_result(config, tokens_per_second=float("nan"))


def exits(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Leave with exit code 0 and no result."""
    os._exit(0)


def raises(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Fail with an error of our own."""
    raise BackendError("the model does not fit")


def fails_at_bad_n(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Fail for one experiment and succeed for the others."""
    if config.n == BAD_N:
        raise BackendError("this one does not work")
    return quick(config, **rest)


def has_grandchild(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Start a process that would outlive us, then hang."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(config.model).with_suffix(".grandchild").write_text(str(child.pid))
    time.sleep(600)
    return make_result(config)


def noisy(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Write to stdout and stderr, from Python and past it."""
    print("from python")
    os.write(1, b"from native stdout\n")
    os.write(2, b"from native stderr\n")
    return make_result(config)


def removes_the_study(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Take the study's folder away while it runs."""
    timeseries: Path = rest["timeseries"]
    shutil.rmtree(timeseries.parent.parent)
    return make_result(config)


def takes_a_second(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Take a little while."""
    time.sleep(1)
    return quick(config, **rest)


def takes_two_seconds(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Take longer."""
    time.sleep(2)
    return quick(config, **rest)


def takes_five_seconds(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Take even longer."""
    time.sleep(5)
    return quick(config, **rest)


def waits_for_file(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Say that it began, then wait until the test allows it to end."""
    base = Path(config.model)
    base.with_suffix(".ready").write_text(str(os.getpid()))
    while not base.with_suffix(".go").exists():
        time.sleep(0.02)
    return quick(config, **rest)


def interrupts_its_parent(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Press Ctrl-C in the parent, then hang."""
    threading.Timer(0.2, lambda: os.kill(os.getppid(), signal.SIGINT)).start()
    time.sleep(600)
    return quick(config, **rest)


def forks_and_dies(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Die with a forked process left behind, which still holds everything that we had open."""
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
    return make_result(config)


def dies_by_a_nameless_signal(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Die by a real-time signal."""
    os.kill(os.getpid(), signal.SIGRTMIN + 6)
    return make_result(config)


def gives_too_large_a_number(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Return what no message can carry."""
    return make_result(config, effective_config={"x": 10**30})


def raises_half_a_character(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Fail with a text that UTF-8 cannot carry, such as a file name in another encoding."""
    raise BackendError("no such file: caf\udce9")


def succeeds_once(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Say something and fail the first time, die in silence the second."""
    mark = Path(config.model).with_suffix(".first")
    if not mark.exists():
        mark.touch()
        raise BackendError("words of the first attempt")
    os._exit(0)


def has_grandchild_and_is_patient(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Start a process in a session of ours, say which, and hang."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(config.model).with_suffix(".ready").write_text(str(child.pid))
    time.sleep(600)
    return make_result(config)


def hangs_in_native_code(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Never return, inside a C function that keeps Python's lock, deaf to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.PyDLL(None).sleep(600)
    return make_result(config)


def closes_its_pipe(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Close the pipe to the parent and go on."""
    for descriptor in _sockets():
        os.close(descriptor)
    time.sleep(600)
    return make_result(config)


def sends_garbage(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Send bytes that are no message."""
    for descriptor in _sockets():
        os.write(descriptor, b"\0\0\0\5xxxxx")
    time.sleep(600)
    return make_result(config)


def claims_two_gigabytes(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Announce a message that no parent should wait for."""
    for descriptor in _sockets():
        os.write(descriptor, b"\x7f\xff\xff\xff")
    time.sleep(600)
    return make_result(config)


def stops_inside_a_message(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Send half of a message."""
    for descriptor in _sockets():
        os.write(descriptor, b"\0\0\1\0half")
    time.sleep(600)
    return make_result(config)


def _sockets() -> list[int]:
    links = {int(link.name): link for link in Path("/proc/self/fd").iterdir()}
    found = []
    for descriptor, link in links.items():
        try:
            if str(link.readlink()).startswith("socket:"):
                found.append(descriptor)
        except OSError:  # the listing's own
            continue
    return found


def sends_100_megabytes(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Return a result of 100 MB."""
    return make_result(config, reproducibility_notes=("x" * 100_000_000,))


def floods_its_log(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Write a gigabyte of log, as cheaply as a file with a hole in it, and die."""
    os.write(1, b"first words\n")
    os.truncate(f"/proc/{os.getpid()}/fd/1", 2**30)
    os.write(1, b"\nlast words\n")
    os.kill(os.getpid(), signal.SIGKILL)
    return make_result(config)


def leaves_a_daemon(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Succeed, with a process left behind that has a session of its own."""
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    Path(config.model).with_suffix(".daemon").write_text(str(child.pid))
    return make_result(config)


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


def runs_out_of_gpu_memory(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Fail as torch does, wrapped as a backend does."""

    raise BackendError("the model cannot be loaded") from OutOfMemoryError(
        "Tried to allocate 2 GiB"
    )


def eats_memory(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Take more memory than the control group that the model's folder names allows."""
    group = Path(config.model).with_suffix(".group").read_text()
    (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    held = []
    while True:
        held.append(bytearray(b"x") * (8 * 2**20))


def crashes_once(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Die the first time, succeed the second."""
    mark = Path(config.model).with_suffix(f".crashed-{config.n}")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    return quick(config, **rest)


def counts_itself(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Take a moment in two stages, and write samples; the figures are those of the experiment."""
    timeseries: Path = rest["timeseries"]
    on_stage: OnStage = rest["on_stage"]
    assert on_stage is not None
    for stage in ("load", "window"):
        on_stage(stage)
        time.sleep(0.1)
    timeseries.write_bytes(b"PAR1 samples PAR1")
    return make_result(
        config,
        tokens_per_second=100.0 + config.n,
        timeseries_file=timeseries.name,
        effective_config={"token": os.urandom(8).hex()},
    )


def holds_a_semaphore(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Make a named lock and keep it, as progress bars of libraries do."""
    _KEPT.append(multiprocessing.get_context("spawn").RLock())
    return quick(config, **rest)


def works_in_silence(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Compute for ever and say nothing."""
    while True:
        sum(range(10_000))


def fills_the_disk(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Leave no byte on the disk of the results, from the second experiment on."""
    timeseries: Path = rest["timeseries"]
    if config.n > 1:
        with contextlib.suppress(OSError), (timeseries.parent / "filler").open("wb", 0) as file:
            while True:
                file.write(bytes(4096))
    return quick(config, **rest)


def seals_its_study(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Take away the right to write into the study's folder; the run's own stays as it is."""
    timeseries: Path = rest["timeseries"]
    subprocess.run(["chattr", "+i", timeseries.parents[1]], check=True)
    return quick(config, **rest)
