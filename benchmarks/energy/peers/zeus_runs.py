"""Zeus, unmodified, under the fake driver; runs in an environment of its own, see `run`.

Zeus starts helper processes that import this module again, so it imports little itself.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmarks.energy.peers import stage

_NO_SYNC = {"sync_execution": False}  # no framework here whose kernels one could wait for


def windows(request: dict[str, Any]) -> dict[str, Any]:
    """Return what ZeusMonitor gives for windows on the virtual clock: two reads of the counter."""
    from zeus.monitor import ZeusMonitor  # type: ignore[import-not-found] # in no env of ours

    stage.Listener()  # thousands of short windows warn, each for itself
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
    """Return what PowerMonitor gives for windows in real time, all out of one recording."""
    from zeus.monitor import PowerMonitor

    stage.Listener()
    monitor = PowerMonitor(
        gpu_indices=[0], update_period=request["period_s"], power_domains=["device_instant"]
    )
    start_s = stage.now_s() + 1.0
    stage.wait_until(start_s + max(t1_s for _, t1_s in request["windows"]) + 0.5)
    energies_j = []
    for t0_s, t1_s in request["windows"]:
        found = monitor.get_energy(stage.wall_s(start_s + t0_s), stage.wall_s(start_s + t1_s))
        energies_j.append(found and found[0])
    monitor.stop()
    return {"start_s": start_s, "energies_j": energies_j}


def cost(request: dict[str, Any]) -> dict[str, Any]:
    """Start PowerMonitor and stay."""
    from zeus.monitor import PowerMonitor

    start_s = time.perf_counter()
    monitor = PowerMonitor(
        gpu_indices=[0], update_period=request["period_s"], power_domains=request["domains"]
    )
    answer = stage.stay(time.perf_counter() - start_s)
    monitor.stop()
    return answer


def latency(request: dict[str, Any]) -> dict[str, Any]:
    """Return the median seconds of both edges of a window, and of one bare read."""
    import pynvml
    from zeus.monitor import ZeusMonitor

    monitor = ZeusMonitor(gpu_indices=[0], cpu_indices=[])
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    taken: dict[str, list[float]] = {"begin_s": [], "end_s": [], "bare_s": []}

    def timed(name: str, action: Any) -> None:
        start_s = time.perf_counter()
        action()
        taken[name].append(time.perf_counter() - start_s)

    stage.Listener()
    for _ in range(request["n"]):
        timed("begin_s", lambda: monitor.begin_window("window", **_NO_SYNC))
        timed("end_s", lambda: monitor.end_window("window", **_NO_SYNC))
        timed("bare_s", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def fault(request: dict[str, Any]) -> dict[str, Any]:
    """Return what ZeusMonitor gives for one window of a scripted fault."""
    from zeus.monitor import ZeusMonitor

    with stage.Play(request) as play:
        monitor = play.attempt(lambda: ZeusMonitor(cpu_indices=[]))
        play.begin(lambda: monitor.begin_window("window", **_NO_SYNC))
        found = play.end(lambda: monitor.end_window("window", **_NO_SYNC))
    return play.answer(found and sum(found.gpu_energy.values()))


def power_fault(request: dict[str, Any]) -> dict[str, Any]:
    """Return what PowerMonitor gives for one window of a scripted fault."""
    from zeus.monitor import PowerMonitor

    with stage.Play(request) as play:
        monitor = play.attempt(lambda: PowerMonitor(update_period=0.1))
        play.begin(lambda: None)
        play.end(lambda: time.sleep(0.3))  # the helper's last samples are still in its pipe
        t0_s, t1_s = map(stage.wall_s, play.window)
        found = play.attempt(lambda: monitor.get_energy(t0_s, t1_s))
        play.attempt(lambda: monitor.stop())
    return play.answer(found and sum(found.values()))


if __name__ == "__main__":
    stage.main(
        {
            "windows": windows,
            "power_windows": power_windows,
            "cost": cost,
            "latency": latency,
            "fault": fault,
            "power_fault": power_fault,
        }
    )
