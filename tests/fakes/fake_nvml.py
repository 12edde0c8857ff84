"""Builds and feeds the fake NVIDIA driver library of `fake_nvml.c`.

A test describes its GPUs as `FakeGpu`s, writes them to a trace file and starts a process under
`environment`; the binding in that process then finds the fake instead of a driver. `true_energy_j`
says what a perfect meter would have read. It shares no formula with the C code, so that the two
check each other.

Run as a program, it sets up a demo that a person can use by hand:

    python tests/fakes/fake_nvml.py /tmp/fake
"""

import argparse
import math
import os
import shlex
import shutil
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
LIBRARY_NAME = "libnvidia-ml.so.1"  # what the binding asks the loader for


@dataclass(frozen=True, slots=True)
class Fault:
    """One function that fails for a while; times in seconds, `t1_s` not included.

    `function` is an NVML function of any GPU, "field:83" for one value of
    `nvmlDeviceGetFieldValues`, or "*" for every call on this GPU, as if it were lost.
    """

    function: str
    code: int  # an NVML return code, e.g. 15: the GPU is lost
    t0_s: float = 0.0
    t1_s: float = math.inf


@dataclass(frozen=True, slots=True)
class CallFault:
    """One function that fails in its calls `first` to `last`, which is included.

    Each process counts its calls of one function from 1, on all GPUs together.
    """

    function: str  # as in `Fault`
    code: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Process:
    """A process on a GPU, there from `t0_s` until before `t1_s`."""

    pid: int
    used_bytes: int = 1 << 30
    graphics: bool = False  # it draws; else it computes
    t0_s: float = 0.0
    t1_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Throttle:
    """A time in which the GPU is slowed down, with the bits of the clock event reasons.

    Bits 0x84 also count into field 74 (power), bits 0x60 into field 75 (thermal).
    """

    t0_s: float
    t1_s: float
    reasons: int


@dataclass(frozen=True, slots=True)
class FakeGpu:
    """One GPU: its true power over time, and the sensors through which the driver shows it.

    Times are seconds since the epoch of the fake. The first and the last power hold before and
    after the points; with `repeat_s`, inside each period.
    """

    name: str = "Fake H200"
    uuid: str = "GPU-00000000-0000-0000-0000-000000000001"
    points: tuple[tuple[float, float], ...] = ((0.0, 100.0),)  # (t_s, watts), in time order
    linear: bool = False  # between points: a ramp, or the earlier power
    repeat_s: float = 0.0  # 0: the points are played once
    counter_period_s: float = 0.1
    counter_phase_s: float = 0.0
    counter_initial_mj: int = 1_000_000_000  # of an ideal counter at time 0
    counter_gain: float = 1.0  # 1.05: the counter overstates by 5 %
    counter_jitter_s: float = 0.0  # an update is up to this early or late, as if at random
    counter_quantum_mj: int = 1  # the counter shows whole multiples of this
    power_period_s: float = 0.1
    average_window_s: float = 1.0  # Hopper, as is the next
    instant_window_s: float = 0.025
    sample_period_s: float = 0.02  # of the ring behind `nvmlDeviceGetSamples`, 120 entries
    module_w: float = 0.0  # of the rest of a Grace Hopper module; 0: there is no module
    memory_share: float = 0.0  # part of the power that is the memory's; 0: it is not told
    memory_bytes: int = 141 << 30  # of the board
    power_limit_w: float = 700.0
    temperature_c: float = 45.0
    temperatures: tuple[tuple[float, float], ...] = ()  # (t_s, C), linear; over `temperature_c`
    mig: bool = False
    persistence: bool = True
    virtualization: int = 0  # nvmlGpuVirtualizationMode_t: 2 is a vGPU
    processes: tuple[Process, ...] = ()
    throttles: tuple[Throttle, ...] = ()
    stalls: tuple[tuple[float, float], ...] = ()  # the energy counter misses its updates
    resets: tuple[float, ...] = ()  # the energy counter starts again from 0
    faults: tuple[Fault, ...] = ()
    call_faults: tuple[CallFault, ...] = ()
    missing: tuple[str, ...] = ()  # functions that an older driver does not have
    latency_us: int = 0  # of every call on this GPU
    latency_spikes: tuple[tuple[int, float, float], ...] = ()  # (us, t0_s, t1_s), on top

    def power_w(self, t_s: float) -> float:
        """Return the true power at one instant, in watts."""
        if self.repeat_s:
            t_s %= self.repeat_s
        after = bisect_right(self.points, t_s, key=lambda point: point[0])
        t0_s, w0 = self.points[max(after - 1, 0)]
        t1_s, w1 = self.points[min(after, len(self.points) - 1)]
        if not self.linear or t0_s == t1_s or after == 0:
            return w0
        return w0 + (w1 - w0) * (t_s - t0_s) / (t1_s - t0_s)


def true_energy_j(gpu: FakeGpu, t0: float, t1: float) -> float:
    """Return the joules that a GPU really uses between two instants, `t0 <= t1`, in seconds."""
    period_s = gpu.repeat_s or math.inf
    bends_s = {t0, t1}
    for turn in range(math.floor(t0 / period_s), math.floor(t1 / period_s) + 1):
        start_s = turn * period_s if turn else 0.0
        bends_s |= {start_s, *(start_s + t_s for t_s, _ in gpu.points)}
    # Between two bends the power is constant or a straight line, and for both of these the
    # middle times the length is the exact area.
    return math.fsum(
        (b - a) * gpu.power_w((a + b) / 2)
        for a, b in pairwise(sorted(bend_s for bend_s in bends_s if t0 <= bend_s <= t1))
    )


def build(folder: Path) -> Path:
    """Compile the fake into `folder` and return the folder which holds `libnvidia-ml.so.1`.

    Raises:
        FileNotFoundError: this machine has no C compiler.
        RuntimeError: the compiler rejects the source; the message is its own.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("the fake NVML library needs a C compiler named cc on PATH")
    folder.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    # The SONAME lets the loader take an already loaded fake for the driver's library.
    command += ["-fvisibility=hidden", f"-Wl,-soname,{LIBRARY_NAME}"]
    command += ["-o", str(folder / LIBRARY_NAME), str(SOURCE), "-lm", "-ldl", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{SOURCE.name} does not compile:\n{done.stderr}")
    return folder.resolve()


def _statements(gpu: FakeGpu) -> Iterator[str]:
    yield "gpu"
    yield f"name {gpu.name}"
    yield f"uuid {gpu.uuid}"
    yield from (f"point {t_s!r} {w!r}" for t_s, w in gpu.points)
    yield f"shape {'linear' if gpu.linear else 'step'}"
    yield f"repeat {gpu.repeat_s!r}"
    counter = (gpu.counter_period_s, gpu.counter_phase_s, gpu.counter_initial_mj, gpu.counter_gain)
    yield "counter {!r} {!r} {!r} {!r}".format(*counter)
    yield f"counter_jitter {gpu.counter_jitter_s!r}"
    yield f"counter_quantum {gpu.counter_quantum_mj}"
    yield f"power {gpu.power_period_s!r} {gpu.average_window_s!r} {gpu.instant_window_s!r}"
    yield f"samples {gpu.sample_period_s!r}"
    yield f"module_w {gpu.module_w!r}"
    yield f"memory_share {gpu.memory_share!r}"
    yield f"limit_w {gpu.power_limit_w!r}"
    temperatures = gpu.temperatures or ((0.0, gpu.temperature_c),)
    yield from (f"temperature {t_s!r} {c!r}" for t_s, c in temperatures)
    yield f"mig {gpu.mig:d}"
    yield f"persistence {gpu.persistence:d}"
    yield f"virtualization {gpu.virtualization}"
    yield f"memory {gpu.memory_bytes}"
    for process in gpu.processes:
        word = "graphics_process" if process.graphics else "process"
        yield f"{word} {process.pid} {process.used_bytes} {process.t0_s!r} {process.t1_s!r}"
    yield from (f"throttle {t.t0_s!r} {t.t1_s!r} {t.reasons}" for t in gpu.throttles)
    yield from (f"stall {t0_s!r} {t1_s!r}" for t0_s, t1_s in gpu.stalls)
    yield from (f"reset {t_s!r}" for t_s in gpu.resets)
    yield from (f"fault {f.function} {f.code} {f.t0_s!r} {f.t1_s!r}" for f in gpu.faults)
    yield from (f"fault_call {f.function} {f.code} {f.first} {f.last}" for f in gpu.call_faults)
    yield from (f"missing {function}" for function in gpu.missing)
    yield f"latency_us {gpu.latency_us}"
    yield from (f"latency_us {us} {t0_s!r} {t1_s!r}" for us, t0_s, t1_s in gpu.latency_spikes)


def write_trace(path: Path, gpus: Sequence[FakeGpu]) -> None:
    """Write the trace file of some GPUs; their order is their index.

    Raises:
        ValueError: two GPUs share a UUID, so a look-up by UUID would find the wrong one.
    """
    if len({gpu.uuid for gpu in gpus}) < len(gpus):
        raise ValueError("every fake GPU needs its own uuid")
    lines = [line for gpu in gpus for line in _statements(gpu)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def environment(library: Path, trace: Path) -> dict[str, str]:
    """Return the variables under which a new process finds the fake; its time 0 is now.

    They go on top of the caller's own: `env=os.environ | environment(...)`. Setting them in a
    running process does nothing, because the loader has read them by then.

    Args:
        library: what `build` returned.
        trace: what `write_trace` wrote.
    """
    folders = [str(library), os.environ.get("LD_LIBRARY_PATH", "")]
    return {
        "LD_LIBRARY_PATH": os.pathsep.join(folder for folder in folders if folder),
        "LLEM_FAKE_NVML": str(trace),
        "LLEM_FAKE_NVML_EPOCH": repr(time.monotonic()),
    }


DEMO = FakeGpu(
    # A request every 4 s: prefill spike, decode plateau, idle.
    points=((0.0, 120.0), (0.5, 650.0), (0.8, 420.0), (3.5, 120.0)),
    repeat_s=4.0,
)


def main() -> None:
    """Build the library and a demo trace, and print the lines that turn a shell towards them."""
    parser = argparse.ArgumentParser(
        description='Set up a fake GPU. Typical use: eval "$(python %(prog)s /tmp/fake)"; the '
        "shell's next commands then see one GPU with a request every 4 s."
    )
    parser.add_argument("folder", type=Path, help="where the library and the trace are put")
    library = build(parser.parse_args().folder)
    trace = library / "demo.trace"
    write_trace(trace, [DEMO])
    for name, value in environment(library, trace).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


if __name__ == "__main__":
    main()
