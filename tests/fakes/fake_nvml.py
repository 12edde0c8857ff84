"""Compile the fake NVIDIA driver library in `nvml_library`, and write the traces that it plays.

A test describes its GPUs as `FakeGpu`s, writes them to a trace file and starts a process with the
variables from `environment`; the binding in that process then finds the fake instead of a driver.
`true_energy_j` returns what a perfect meter would read. It shares no formula with the C code, so
the two check each other.

Run as a program, it sets up a demo to use by hand:

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

SOURCES = Path(__file__).with_name("nvml_library")
LIBRARY_NAME = "libnvidia-ml.so.1"  # the name that the binding loads


@dataclass(frozen=True, slots=True)
class Fault:
    """A function that fails from `t0_s` until before `t1_s`, in seconds.

    `function` is the name of an NVML function, "field:83" for one value of
    `nvmlDeviceGetFieldValues`, or "*" for every call on this GPU, as if it were lost.
    """

    function: str
    code: int  # an NVML return code, e.g. 15: the GPU is lost
    t0_s: float = 0.0
    t1_s: float = math.inf


@dataclass(frozen=True, slots=True)
class CallFault:
    """A function that fails in its calls `first` to `last`, both included.

    Each process counts the calls of a function from 1, over all GPUs.
    """

    function: str  # as in `Fault`
    code: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Process:
    """A process that is on a GPU from `t0_s` until before `t1_s`."""

    pid: int
    used_bytes: int = 1 << 30
    graphics: bool = False  # a graphics process; else a compute process
    mps: bool = False  # a client of the Multi-Process Service, which has a list of its own
    t0_s: float = 0.0
    t1_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another user of a GPU from `t0_s` until before `t1_s`, whom the driver need not list.

    Its power is part of the points of the GPU.
    """

    t0_s: float
    t1_s: float
    busy_percent: int = 0  # share of the time in which it keeps the GPU busy
    used_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Throttle:
    """An interval in which the GPU is slowed down, with the bits of the clock event reasons.

    Bits 0x84 also count into field 74 (power), bits 0x60 into field 75 (thermal).
    """

    t0_s: float
    t1_s: float
    reasons: int


@dataclass(frozen=True, slots=True)
class FakeGpu:
    """One GPU: its true power over time, and the sensors with which the driver reports it.

    Times are seconds since the epoch of the fake. The first power also holds before the first
    point and the last power after the last one; with `repeat_s`, in each period.
    """

    name: str = "Fake H200"
    uuid: str = "GPU-00000000-0000-0000-0000-000000000001"
    points: tuple[tuple[float, float], ...] = ((0.0, 100.0),)  # (t_s, watts), in time order
    linear: bool = False  # True: power is linear between points; False: it keeps the earlier value
    repeat_s: float = 0.0  # 0: the points are played once
    counter_period_s: float = 0.1
    counter_phase_s: float = 0.0
    counter_initial_mj: int = 1_000_000_000  # value of an ideal counter at time 0
    counter_gain: float = 1.0  # 1.05: the counter overstates by 5 %
    counter_jitter_s: float = 0.0  # max shift of an update; pseudo-random
    counter_quantum_mj: int = 1  # the counter shows multiples of this
    counter_filter_s: float = 0.0  # time constant of a first-order filter before the counter
    counter_delay_s: float = 0.0  # the counter shows the energy of this long ago
    counter_seen_s: float = 0.0  # end of each period whose mean power counts for all; 0: sees all
    counter_threshold_w: float = 0.0  # a period with less mean power adds nothing
    counter_burst_s: float = 0.0  # every second update is early by this much
    counter_every: tuple[int, float, float] = (1, 0.0, math.inf)  # of n updates 1, at these watts
    counter_bits: int = 64  # the counter wraps at
    counter_float32: bool = False
    power_period_s: float = 0.1
    average_window_s: float = 1.0  # this and the next as on Hopper
    instant_window_s: float = 0.025
    power_filter_s: float = 0.0  # time constant of a first-order filter before both powers
    power_delay_s: float = 0.0  # both powers are those of this long ago
    sample_period_s: float = 0.02  # of the 120 entries of `nvmlDeviceGetSamples`
    module_w: float = 0.0  # rest of a Grace Hopper module; 0: no module
    memory_share: float = 0.0  # share of the power that the memory draws; 0: not reported
    memory_bytes: int = 141 << 30  # total of the board
    power_limit_w: float = 700.0
    temperature_c: float = 45.0
    temperatures: tuple[tuple[float, float], ...] = ()  # (t_s, C), linear; replaces `temperature_c`
    application_mhz: tuple[int, int, int, int] = (1980, 3201, 1980, 3201)  # SM, memory; defaults
    locked_mhz: int = 0  # the locked SM clock, which no function returns; 0: not locked
    minor: int | None = None  # number of the device file; None: the index
    mig: bool = False
    persistence: bool = True
    virtualization: int = 0  # nvmlGpuVirtualizationMode_t: 2 is a vGPU
    idle_w: float = 0.0  # up to this power the GPU is not busy
    processes: tuple[Process, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    throttles: tuple[Throttle, ...] = ()
    stalls: tuple[tuple[float, float], ...] = ()  # the energy counter is not updated
    resets: tuple[float, ...] = ()  # the energy counter restarts from 0
    faults: tuple[Fault, ...] = ()
    call_faults: tuple[CallFault, ...] = ()
    missing: tuple[str, ...] = ()  # functions that an older driver lacks
    latency_us: int = 0  # of every call on this GPU
    latency_spikes: tuple[tuple[int, float, float], ...] = ()  # (us, t0_s, t1_s); added

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
    """Return the true joules of a GPU between two instants in seconds, `t0 <= t1`."""
    period_s = gpu.repeat_s or math.inf
    bends_s = {t0, t1}
    for turn in range(math.floor(t0 / period_s), math.floor(t1 / period_s) + 1):
        start_s = turn * period_s if turn else 0.0
        bends_s |= {start_s, *(start_s + t_s for t_s, _ in gpu.points)}
    # Between two bends the power is constant or linear, so its value in the middle times the
    # length is the exact area.
    return math.fsum(
        (b - a) * gpu.power_w((a + b) / 2)
        for a, b in pairwise(sorted(bend_s for bend_s in bends_s if t0 <= bend_s <= t1))
    )


def build(folder: Path, name: str = LIBRARY_NAME, more: Sequence[Path] = ()) -> Path:
    """Compile the fake into `folder` and return the folder that holds the library.

    Args:
        folder: is created if it does not exist.
        name: of the library.
        more: source files beside those in `nvml_library`.

    Raises:
        FileNotFoundError: this machine has no C compiler.
        RuntimeError: the compiler rejects the sources; the message quotes it.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("the fake NVML library needs a C compiler named cc on PATH")
    folder.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    # With this SONAME the loader treats a fake that is already loaded as the driver's library.
    command += ["-fvisibility=hidden", f"-Wl,-soname,{name}"]
    command += ["-o", str(folder / name), *map(str, [*sorted(SOURCES.glob("*.c")), *more])]
    command += ["-lm", "-ldl", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{SOURCES.name} does not compile:\n{done.stderr}")
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
    yield f"counter_filter {gpu.counter_filter_s!r}"
    yield f"counter_delay {gpu.counter_delay_s!r}"
    yield f"counter_seen {gpu.counter_seen_s!r}"
    yield f"counter_threshold {gpu.counter_threshold_w!r}"
    yield f"counter_burst {gpu.counter_burst_s!r}"
    yield "counter_every {} {!r} {!r}".format(*gpu.counter_every)
    yield f"counter_bits {gpu.counter_bits}"
    yield f"counter_float32 {gpu.counter_float32:d}"
    yield f"power {gpu.power_period_s!r} {gpu.average_window_s!r} {gpu.instant_window_s!r}"
    yield f"power_filter {gpu.power_filter_s!r}"
    yield f"power_delay {gpu.power_delay_s!r}"
    yield f"samples {gpu.sample_period_s!r}"
    yield f"module_w {gpu.module_w!r}"
    yield f"memory_share {gpu.memory_share!r}"
    yield f"limit_w {gpu.power_limit_w!r}"
    temperatures = gpu.temperatures or ((0.0, gpu.temperature_c),)
    yield from (f"temperature {t_s!r} {c!r}" for t_s, c in temperatures)
    yield "application_mhz {} {} {} {}".format(*gpu.application_mhz)
    yield f"locked_mhz {gpu.locked_mhz}"
    if gpu.minor is not None:
        yield f"minor {gpu.minor}"
    yield f"mig {gpu.mig:d}"
    yield f"persistence {gpu.persistence:d}"
    yield f"virtualization {gpu.virtualization}"
    yield f"memory {gpu.memory_bytes}"
    for process in gpu.processes:
        kind = "graphics_" if process.graphics else "mps_" if process.mps else ""
        word = f"{kind}process"
        yield f"{word} {process.pid} {process.used_bytes} {process.t0_s!r} {process.t1_s!r}"
    yield f"idle_w {gpu.idle_w!r}"
    for each in gpu.neighbours:
        yield f"neighbour {each.busy_percent} {each.used_bytes} {each.t0_s!r} {each.t1_s!r}"
    yield from (f"throttle {t.t0_s!r} {t.t1_s!r} {t.reasons}" for t in gpu.throttles)
    yield from (f"stall {t0_s!r} {t1_s!r}" for t0_s, t1_s in gpu.stalls)
    yield from (f"reset {t_s!r}" for t_s in gpu.resets)
    yield from (f"fault {f.function} {f.code} {f.t0_s!r} {f.t1_s!r}" for f in gpu.faults)
    yield from (f"fault_call {f.function} {f.code} {f.first} {f.last}" for f in gpu.call_faults)
    yield from (f"missing {function}" for function in gpu.missing)
    yield f"latency_us {gpu.latency_us}"
    yield from (f"latency_us {us} {t0_s!r} {t1_s!r}" for us, t0_s, t1_s in gpu.latency_spikes)


def write_trace(path: Path, gpus: Sequence[FakeGpu]) -> None:
    """Write the trace file of these GPUs; their order is their index.

    Raises:
        ValueError: two GPUs share a UUID, so a look-up by UUID would find the wrong one.
    """
    if len({gpu.uuid for gpu in gpus}) < len(gpus):
        raise ValueError("expected a different uuid for every fake GPU, found two that are equal")
    lines = [line for gpu in gpus for line in _statements(gpu)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def environment(library: Path, trace: Path) -> dict[str, str]:
    """Return the variables with which a new process finds the fake; its time 0 is now.

    Add them to those of the caller: `env=os.environ | environment(...)`. Setting them in a running
    process has no effect, because the loader reads them at the start.

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
    """Build the library and a demo trace, and print the exports for a shell that is to use them."""
    parser = argparse.ArgumentParser(
        description='Set up a fake GPU. Typical use: eval "$(python %(prog)s /tmp/fake)"; the '
        "next commands of the shell then see one GPU with a request every 4 s."
    )
    parser.add_argument("folder", type=Path, help="folder for the library and the trace")
    library = build(parser.parse_args().folder)
    trace = library / "demo.trace"
    write_trace(trace, [DEMO])
    for name, value in environment(library, trace).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


if __name__ == "__main__":
    main()
