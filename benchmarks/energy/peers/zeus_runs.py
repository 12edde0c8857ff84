"""Runs the unmodified Zeus under the fake driver, in a separate environment (see `run`).

The helper processes of Zeus import this module again, so it imports as little as possible.
"""

from __future__ import annotations

import contextlib
import functools
import io
import runpy
import statistics
import time
from typing import Any

from benchmarks.energy.peers import stage

_NO_SYNC = {"sync_execution": False}  # there is no framework to synchronise with


def windows(request: dict[str, Any]) -> dict[str, Any]:
    """Return the energies of ZeusMonitor for windows on the virtual clock."""
    from zeus.monitor import ZeusMonitor  # type: ignore[import-not-found] # not in our env

    stage.Listener()  # each of thousands of short windows warns
    move = stage.virtual_clock()
    move(0.0)
    monitor = ZeusMonitor(gpu_indices=[0], cpu_indices=[])
    energies_j = []
    for t0_s, t1_s in request["windows"]:
        move(t0_s)
        monitor.begin_window("window", **_NO_SYNC)
        move(t1_s)
        energies_j.append(monitor.end_window("window", **_NO_SYNC).gpu_energy[0])
    return {"energies_j": energies_j}


def power_windows(request: dict[str, Any]) -> dict[str, Any]:
    """Return the energies of PowerMonitor for windows of one real-time recording."""
    from zeus.monitor import PowerMonitor

    stage.Listener()
    monitor = PowerMonitor(
        gpu_indices=[0], update_period=request["period_s"], power_domains=["device_instant"]
    )
    start_s = stage.now_s() + 1.0
    stage.wait_until(start_s + max(t1_s for _, t1_s in request["windows"]) + 0.5)
    energies_j = []
    for t0_s, t1_s in request["windows"]:
        by_gpu = monitor.get_energy(stage.wall_s(start_s + t0_s), stage.wall_s(start_s + t1_s))
        energies_j.append(by_gpu and by_gpu[0])
    monitor.stop()
    return {"start_s": start_s, "energies_j": energies_j}


def cost(request: dict[str, Any]) -> dict[str, Any]:
    """Start PowerMonitor and keep it running until the parent closes stdin."""
    from zeus.monitor import PowerMonitor

    start_s = time.perf_counter()
    monitor = PowerMonitor(
        gpu_indices=[0], update_period=request["period_s"], power_domains=request["domains"]
    )
    answer = stage.stay(time.perf_counter() - start_s)
    monitor.stop()
    return answer


def latency(request: dict[str, Any]) -> dict[str, Any]:
    """Return the median seconds of both edges of a window and of one bare read."""
    import pynvml
    from zeus.monitor import ZeusMonitor

    monitor = ZeusMonitor(gpu_indices=[0], cpu_indices=[])
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    durations_s: dict[str, list[float]] = {"begin_s": [], "end_s": [], "bare_s": []}

    def timed(name: str, action: Any) -> None:
        time.sleep(request["pause_s"])
        start_s = time.perf_counter()
        action()
        durations_s[name].append(time.perf_counter() - start_s)

    stage.Listener()
    for _ in range(request["n"]):
        timed("begin_s", lambda: monitor.begin_window("window", **_NO_SYNC))
        timed("end_s", lambda: monitor.end_window("window", **_NO_SYNC))
        timed("bare_s", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    return {name: statistics.median(seconds) for name, seconds in durations_s.items()}


def script(request: dict[str, Any]) -> dict[str, Any]:
    """Run a script that uses ZeusMonitor; return what it prints.

    By default, the monitor waits for CUDA, which this machine does not have.
    """
    from zeus.monitor import ZeusMonitor

    for name in ("begin_window", "end_window"):
        setattr(ZeusMonitor, name, functools.partialmethod(getattr(ZeusMonitor, name), **_NO_SYNC))
    with contextlib.redirect_stdout(io.StringIO()) as out:
        runpy.run_path(request["path"])
    return {"out": out.getvalue()}


def fault(request: dict[str, Any]) -> dict[str, Any]:
    """Return the energy of ZeusMonitor for a window with a scripted fault."""
    from zeus.monitor import ZeusMonitor

    with stage.Play(request) as play:
        monitor = play.attempt(lambda: ZeusMonitor(cpu_indices=[]))
        play.begin(lambda: monitor.begin_window("window", **_NO_SYNC))
        result = play.end(lambda: monitor.end_window("window", **_NO_SYNC))
    return play.answer(result and sum(result.gpu_energy.values()))


def power_fault(request: dict[str, Any]) -> dict[str, Any]:
    """Return the energy of PowerMonitor for a window with a scripted fault."""
    from zeus.monitor import PowerMonitor

    with stage.Play(request) as play:
        monitor = play.attempt(lambda: PowerMonitor(update_period=0.1))
        play.begin(lambda: None)
        play.end(lambda: time.sleep(0.3))  # the last samples of the helper are still in its pipe
        t0_s, t1_s = map(stage.wall_s, play.window)
        by_gpu = play.attempt(lambda: monitor.get_energy(t0_s, t1_s))
        play.attempt(lambda: monitor.stop())
    return play.answer(by_gpu and sum(by_gpu.values()))


if __name__ == "__main__":
    stage.main(
        {
            "windows": windows,
            "power_windows": power_windows,
            "cost": cost,
            "latency": latency,
            "script": script,
            "fault": fault,
            "power_fault": power_fault,
        }
    )
