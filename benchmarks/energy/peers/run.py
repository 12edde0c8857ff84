"""The energies, the costs and the window edges of the peers."""

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
    "codecarbon_windows",
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
    """The energy that a meter returned for one window, and the true energy of the window."""

    window: Window
    energy_j: float | None
    truth_j: float

    @property
    def error_percent(self) -> float:
        """Return the signed error; no value counts as 0 J."""
        return 100 * ((self.energy_j or 0.0) / self.truth_j - 1)


@dataclass(frozen=True, slots=True)
class Edges:
    """Median seconds for which the caller waits at the edges of a window."""

    begin_s: float
    end_s: float
    bare_s: float | None  # one read of the counter through the binding only


def _measured(
    gpu: FakeGpu, windows: Iterable[Window], energies_j: Iterable[float | None]
) -> list[Measured]:
    return [
        Measured((t0_s, t1_s), energy_j, true_energy_j(gpu, t0_s, t1_s))
        for (t0_s, t1_s), energy_j in zip(windows, energies_j, strict=True)
    ]


def zeus_windows(peers: Peers, gpu: FakeGpu, windows: Sequence[Window]) -> list[Measured] | Missing:
    """Return the energies of ZeusMonitor for windows on the virtual clock."""
    answer = peers.ask(ZEUS, "windows", [gpu], {"windows": windows})
    if isinstance(answer, Missing):
        return answer
    return _measured(gpu, windows, answer[0]["energies_j"])


def zeus_power_windows(
    peers: Peers, gpu: FakeGpu, windows: Sequence[Window], *, period_s: float = 0.1
) -> list[Measured] | Missing:
    """Return the energies of Zeus PowerMonitor for windows of one real-time recording.

    Args:
        peers: the installed peers.
        gpu: the trace.
        windows: in seconds after the start of the recording; they may overlap. The windows returned
            are in seconds of the trace.
        period_s: time between two readings of the instant power.
    """
    request = {"windows": windows, "period_s": period_s}
    answer = peers.ask(ZEUS, "power_windows", [gpu], request)
    if isinstance(answer, Missing):
        return answer
    start_s = answer[0]["start_s"]
    shifted = [(start_s + t0_s, start_s + t1_s) for t0_s, t1_s in windows]
    return _measured(gpu, shifted, answer[0]["energies_j"])


def codecarbon_windows(
    peers: Peers, gpu: FakeGpu, windows: Sequence[Window]
) -> list[Measured] | Missing:
    """Return the energies of CodeCarbon tasks for windows on the virtual clock."""
    answer = peers.ask(CODECARBON, "windows", [gpu], {"windows": windows})
    if isinstance(answer, Missing):
        return answer
    return _measured(gpu, windows, answer[0]["energies_j"])


def codecarbon_tasks(
    peers: Peers, gpu: FakeGpu, tasks: Sequence[tuple[float, float]]
) -> tuple[list[Measured], Edges] | Missing:
    """Return the energies of CodeCarbon for consecutive tasks in real time, and their edges.

    Args:
        peers: the installed peers.
        gpu: the trace.
        tasks: for each task the wait before it and its length, in seconds.
    """
    answer = peers.ask(CODECARBON, "tasks", [gpu], {"tasks": tasks})
    if isinstance(answer, Missing):
        return answer
    tasks_seen = answer[0]["tasks"]
    windows = [(task["window"][0], task["window"][1]) for task in tasks_seen]
    edges = Edges(
        begin_s=statistics.median(task["begin_s"] for task in tasks_seen),
        end_s=statistics.median(task["end_s"] for task in tasks_seen),
        bare_s=None,
    )
    return _measured(gpu, windows, [task["energy_j"] for task in tasks_seen]), edges


def zeus_cost(
    peers: Peers, *, n_domains: int, period_s: float | None = 0.1, seconds: float = 20.0
) -> Cost | Missing:
    """Return the cost of Zeus PowerMonitor.

    Args:
        peers: the installed peers.
        n_domains: 1: instant power; 2: also average power; 3: also memory power.
        period_s: time between two readings; None: Zeus detects it.
        seconds: duration of the measurement.
    """
    request = {"domains": _DOMAINS[:n_domains], "period_s": period_s}
    return peers.cost(ZEUS, replace(LLM, memory_share=0.2), request, seconds)


def codecarbon_cost(
    peers: Peers, *, period_s: float = 1.0, seconds: float = 20.0
) -> Cost | Missing:
    """Return the cost of a CodeCarbon tracker that measures every `period_s`."""
    return peers.cost(CODECARBON, LLM, {"period_s": period_s}, seconds)


def idle_cost(peers: Peers, *, seconds: float = 20.0) -> Cost:
    """Return the cost of a Python process that only waits: the floor of the other costs."""
    program = "import sys; sys.stdin.readline(); print('{\"started_s\": 0.0}', flush=True)\n"
    command = [sys.executable, "-c", program + "sys.stdin.read()"]
    env = peers.environment([LLM])
    return measure_cost(command, {}, seconds=seconds, env=env, cwd=Path(env["HOME"]))


def zeus_edges(
    peers: Peers, *, latency_us: int = 200, n: int = 2000, pause_s: float = 0.0
) -> Edges | Missing:
    """Return the duration of an edge of ZeusMonitor if every NVML call takes `latency_us`.

    Args:
        peers: the installed peers.
        latency_us: of each call of the driver.
        n: windows.
        pause_s: sleep before each call.
    """
    gpu = FakeGpu(latency_us=latency_us)
    answer = peers.ask(ZEUS, "latency", [gpu], {"n": n, "pause_s": pause_s})
    return answer if isinstance(answer, Missing) else Edges(**answer[0])
