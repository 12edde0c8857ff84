"""Our side of the benchmark of `EnergyMeter`: real time, the real thread, the public API only."""

from __future__ import annotations

import ctypes
import random
import resource
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.energy.peers.stage import main, now_s, start_clock, stay, wait_until
from llem_energy import EnergyMeter, EnergyWindow

_RIPPLE_S = 0.07
_PAGE_BYTES = resource.getpagesize()


def _answer(window: EnergyWindow, offset_s: float) -> dict[str, Any]:
    energy = window.energy
    assert window.start_s is not None and window.end_s is not None
    return {
        "window": (window.start_s - offset_s, window.end_s - offset_s),
        "energy_j": energy.total_j,
        "bound_j": energy.bound_j,
        "uncertainty_j": energy.uncertainty_j,
        "method": energy.method,
        "reasons": energy.reasons,
    }


def busy(request: dict[str, Any]) -> dict[str, Any]:
    """Measure windows around arbitrary parts of a load that never ends.

    Windows of one turn overlap if `n_at_once` is above 1. Their energies are read after the last one.
    """
    rng = random.Random(request["seed"])
    start_clock()
    windows = []
    with EnergyMeter([0], sources=["nvml"], mode=request["mode"]) as meter:
        offset_s = time.perf_counter() - now_s()
        shortest_s, longest_s = request["lengths_s"]
        begins_s = now_s()
        n_turns = -(-request["n"] // request["n_at_once"])
        for _ in range(n_turns):
            begins_s = max(begins_s, now_s()) + rng.uniform(0.05, 0.5)
            plan: list[tuple[float, int, EnergyWindow]] = []
            for _ in range(request["n_at_once"]):
                window = meter.window()
                t0_s = begins_s + (rng.uniform(0, longest_s) if request["n_at_once"] > 1 else 0.0)
                t1_s = t0_s + rng.uniform(shortest_s, longest_s)
                plan += [(t0_s, 0, window), (t1_s, 1, window)]
            for at_s, is_end, window in sorted(plan, key=lambda each: each[0]):
                wait_until(at_s)
                if is_end:
                    windows.append(window.close())
                else:
                    window.open()
            begins_s = max(at_s for at_s, _, _ in plan)
        time.sleep(1.0)
        return {"windows": [_answer(window, offset_s) for window in windows]}


class _Player:
    """Sets the power of the fake GPU while it runs, with a ripple."""

    def __init__(self, idle_w: float, seed: str) -> None:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        self._set_power = library.fake_nvml_set_power
        self._set_power.argtypes = [ctypes.c_uint, ctypes.c_double, ctypes.c_double]
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._watts, self._ripple = idle_w, 0.01
        self.points: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Play until the process ends."""
        self.draw(self._watts, self._ripple)
        self._thread.start()

    def draw(self, watts: float, ripple: float) -> None:
        """Draw another power from now on."""
        with self._lock:
            self._watts, self._ripple = watts, ripple
            self._set()

    def _set(self) -> None:
        t_s = now_s()
        watts = self._watts * (1 + self._rng.uniform(-self._ripple, self._ripple))
        if not self._set_power(0, t_s, watts):
            raise RuntimeError(f"the fake driver refused {watts} W at {t_s} s")
        self.points.append((t_s, watts))

    def _run(self) -> None:
        while True:
            time.sleep(_RIPPLE_S * self._rng.uniform(0.7, 1.3))
            with self._lock:
                self._set()


def isolated(request: dict[str, Any]) -> dict[str, Any]:
    """Measure loads that begin when their window opens, and end when it closes; idle around them."""
    rng = random.Random(request["seed"])
    start_clock()
    answers = []
    with EnergyMeter([0], sources=["nvml"], mode=request["mode"]) as meter:
        offset_s = time.perf_counter() - now_s()
        player = _Player(95.0, request["seed"])
        player.start()
        time.sleep(1.0)
        for _ in range(request["n"]):
            time.sleep(rng.uniform(0.2, 0.5))
            with meter.window() as window:
                player.draw(650.0, 0.04)
                time.sleep(0.15)
                player.draw(420.0, 0.04)
                time.sleep(rng.uniform(*request["lengths_s"]) - 0.15)
                player.draw(95.0, 0.01)
            answers.append(_answer(window, offset_s))
    return {"windows": answers, "points": player.points}


def edges(request: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds of begin, end, a bare read and an empty function, in turn; medians."""
    import pynvml

    start_clock()
    durations_s: dict[str, list[float]] = {"begin_s": [], "end_s": [], "bare_s": [], "empty_s": []}

    def timed(name: str, action: Callable[[], object]) -> None:
        time.sleep(request["pause_s"])
        start_s = time.perf_counter()
        action()
        durations_s[name].append(time.perf_counter() - start_s)

    with EnergyMeter([0], sources=["nvml"], mode="light") as meter:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        for _ in range(request["n"]):
            timed("begin_s", lambda: meter.begin_window("window"))
            timed("bare_s", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
            timed("end_s", lambda: meter.end_window("window"))
            timed("bare_s", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
            timed("empty_s", lambda: None)
    return {name: statistics.median(seconds) for name, seconds in durations_s.items()}


def many(request: dict[str, Any]) -> dict[str, Any]:
    """Open and close many windows; return memory and CPU time on the way.

    With `keeps`, every window is kept, and its energy is never read.
    """
    start_clock()
    kept = []
    memory_bytes = []
    with EnergyMeter([0], sources=["nvml"], mode="light") as meter:
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        for i in range(request["n"]):
            with meter.window() as window:
                time.sleep(request["length_s"])
            if request["keeps"]:
                kept.append(window)
            if (i + 1) % (request["n"] // 10) == 0:
                memory_bytes.append(_resident_bytes())
        used_s = time.process_time() - cpu_s
        took_s = time.perf_counter() - wall_s
        n_missing = sum(window.energy.total_j is None for window in [*kept[::100], window])
    return {
        "memory_bytes": memory_bytes,
        "cpu_s": used_s,
        "wall_s": took_s,
        "n_missing": n_missing,
    }


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


def cost(_: dict[str, Any]) -> dict[str, Any]:
    """Meter until the parent closes stdin, with a window that is open all the time."""
    start_clock()
    start_s = time.perf_counter()
    with EnergyMeter([0], sources=["nvml"], mode="light") as meter, meter.window():
        return stay(time.perf_counter() - start_s)


if __name__ == "__main__":
    main({"busy": busy, "isolated": isolated, "edges": edges, "many": many, "cost": cost})
