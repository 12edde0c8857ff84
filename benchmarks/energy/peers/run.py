"""What the peers measure, what they cost and how long their edges take."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fakes.fake_nvml import FakeGpu, true_energy_j
from fakes.traces import LLM, Window

from benchmarks.energy.peers.installed import CODECARBON, ZEUS, Missing, Peers
from benchmarks.energy.peers.meter import Cost, measure_cost
from benchmarks.energy.peers.outcomes import (
    Outcome,
    codecarbon_faults,
    zeus_faults,
    zeus_power_faults,
)

__all__ = [
    "CODECARBON",
    "ZEUS",
    "Cost",
    "Edges",
    "Measured",
    "Missing",
    "Outcome",
    "Peers",
    "codecarbon_cost",
    "codecarbon_faults",
    "codecarbon_tasks",
    "idle_cost",
    "zeus_cost",
    "zeus_edges",
    "zeus_faults",
    "zeus_power_faults",
    "zeus_power_windows",
    "zeus_windows",
]

_DOMAINS = ("device_instant", "device_average", "memory_average")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a peer gave for one window, and the truth of the same window."""

    window: Window
    energy_j: float | None
    truth_j: float

    @property
    def error_percent(self) -> float:
        """Return the error, signed; nothing given counts as 0 J."""
        return 100 * ((self.energy_j or 0.0) / self.truth_j - 1)


@dataclass(frozen=True, slots=True)
class Edges:
    """Median seconds that a caller waits at the edges of a window."""

    begin_s: float
    end_s: float
    bare_s: float | None  # one read of the counter through the binding alone


def _measured(
    gpu: FakeGpu, windows: Iterable[Window], energies_j: Iterable[float | None]
) -> list[Measured]:
    return [
        Measured((t0_s, t1_s), energy_j, true_energy_j(gpu, t0_s, t1_s))
        for (t0_s, t1_s), energy_j in zip(windows, energies_j, strict=True)
    ]


def zeus_windows(peers: Peers, gpu: FakeGpu, windows: Sequence[Window]) -> list[Measured] | Missing:
    """Return what ZeusMonitor gives for windows on the virtual clock, thousands in a second."""
    answer = peers.ask(ZEUS, "windows", [gpu], {"windows": windows})
    if isinstance(answer, Missing):
        return answer
    return _measured(gpu, windows, answer[0]["energies_j"])


def zeus_power_windows(
    peers: Peers, gpu: FakeGpu, windows: Sequence[Window], *, period_s: float = 0.1
) -> list[Measured] | Missing:
    """Return what Zeus's PowerMonitor gives for windows of one recording in real time.

    Args:
        peers: where it is.
        gpu: the trace.
        windows: in seconds after the recording began, so not in those of the trace; they may
            overlap. The windows returned are in those of the trace.
        period_s: how often it reads the instant power.
    """
    request = {"windows": windows, "period_s": period_s}
    answer = peers.ask(ZEUS, "power_windows", [gpu], request)
    if isinstance(answer, Missing):
        return answer
    start_s = answer[0]["start_s"]
    shifted = [(start_s + t0_s, start_s + t1_s) for t0_s, t1_s in windows]
    return _measured(gpu, shifted, answer[0]["energies_j"])


def codecarbon_tasks(
    peers: Peers, gpu: FakeGpu, tasks: Sequence[tuple[float, float]]
) -> tuple[list[Measured], Edges] | Missing:
    """Return what CodeCarbon gives for tasks in real time, one after the other, and their edges.

    Args:
        peers: where it is.
        gpu: the trace.
        tasks: for each the seconds before it and its length, in seconds.
    """
    answer = peers.ask(CODECARBON, "tasks", [gpu], {"tasks": tasks})
    if isinstance(answer, Missing):
        return answer
    found = answer[0]["tasks"]
    windows = [(task["window"][0], task["window"][1]) for task in found]
    edges = Edges(
        begin_s=statistics.median(task["begin_s"] for task in found),
        end_s=statistics.median(task["end_s"] for task in found),
        bare_s=None,
    )
    return _measured(gpu, windows, [task["energy_j"] for task in found]), edges


def zeus_cost(
    peers: Peers, *, n_domains: int, period_s: float | None = 0.1, seconds: float = 20.0
) -> Cost | Missing:
    """Return what Zeus's PowerMonitor costs.

    Args:
        peers: where it is.
        n_domains: 1: instant power; 2: the average too; 3: the memory's too.
        period_s: how often each is read; None: what Zeus finds for itself.
        seconds: how long it is watched.
    """
    request = {"domains": _DOMAINS[:n_domains], "period_s": period_s}
    return peers.cost(ZEUS, replace(LLM, memory_share=0.2), request, seconds)


def codecarbon_cost(
    peers: Peers, *, period_s: float = 1.0, seconds: float = 20.0
) -> Cost | Missing:
    """Return what a CodeCarbon tracker costs that measures every `period_s`."""
    return peers.cost(CODECARBON, LLM, {"period_s": period_s}, seconds)


def idle_cost(peers: Peers, *, seconds: float = 20.0) -> Cost:
    """Return what a Python process costs that only waits: the floor of the others."""
    program = "import sys; sys.stdin.readline(); print('{\"started_s\": 0.0}', flush=True)\n"
    command = [sys.executable, "-c", program + "sys.stdin.read()"]
    env = peers.environment([LLM])
    return measure_cost(command, {}, seconds=seconds, env=env, cwd=Path(env["HOME"]))


def zeus_edges(peers: Peers, *, latency_us: int = 200, n: int = 2000) -> Edges | Missing:
    """Return how long ZeusMonitor takes at an edge while every NVML call takes `latency_us`."""
    gpu = FakeGpu(latency_us=latency_us)
    answer = peers.ask(ZEUS, "latency", [gpu], {"n": n})
    return answer if isinstance(answer, Missing) else Edges(**answer[0])
