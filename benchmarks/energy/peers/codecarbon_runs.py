"""Runs the unmodified CodeCarbon under the fake driver, in a separate environment (see `run`)."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.energy.peers import stage

_J_PER_KWH = 3.6e6
_OPTIONS: dict[str, Any] = {
    "country_iso_code": "FRA",
    "output_methods": [],
}  # no network access, no files


def tasks(request: dict[str, Any]) -> dict[str, Any]:
    """Return the energy of tasks of these lengths in real time, and the duration of their edges.

    A task lasts from the return of `start_task` to the call of `stop_task`.
    """
    # Not installed in our environment.
    from codecarbon import OfflineEmissionsTracker  # type: ignore[import-not-found]

    tracker = OfflineEmissionsTracker(measure_power_secs=1, log_level="error", **_OPTIONS)
    tracker.start_task("the first task detects the hardware")
    tracker.stop_task()
    answers = []
    for i, (gap_s, length_s) in enumerate(request["tasks"]):
        time.sleep(gap_s)
        called_s = stage.now_s()
        tracker.start_task(str(i))
        t0_s = stage.now_s()
        stage.wait_until(t0_s + length_s)
        t1_s = stage.now_s()
        data = tracker.stop_task()
        answers.append({
            "window": [t0_s, t1_s],
            "energy_j": data.gpu_energy * _J_PER_KWH,
            "begin_s": t0_s - called_s,
            "end_s": stage.now_s() - t1_s,
        })  # fmt: skip
    return {"tasks": answers}


def windows(request: dict[str, Any]) -> dict[str, Any]:
    """Return the energies of tasks for windows on the virtual clock.

    A task lasts from `start_task` to `stop_task`, between which only the clock moves. A tracker
    reads the energy counter at both.
    """
    from codecarbon import OfflineEmissionsTracker

    move = stage.virtual_clock()
    move(0.0)
    tracker = OfflineEmissionsTracker(measure_power_secs=3600, log_level="error", **_OPTIONS)
    tracker.start_task("the first task detects the hardware")
    tracker.stop_task()
    energies_j = []
    for i, (t0_s, t1_s) in enumerate(request["windows"]):
        move(t0_s)
        tracker.start_task(str(i))
        move(t1_s)
        energies_j.append(tracker.stop_task().gpu_energy * _J_PER_KWH)
    return {"energies_j": energies_j}


def cost(request: dict[str, Any]) -> dict[str, Any]:
    """Start a tracker and keep it running until the parent closes stdin."""
    from codecarbon import OfflineEmissionsTracker

    start_s = time.perf_counter()
    tracker = OfflineEmissionsTracker(
        measure_power_secs=request["period_s"], log_level="error", **_OPTIONS
    )
    tracker.start()
    answer = stage.stay(time.perf_counter() - start_s)
    tracker.stop()
    return answer


def fault(request: dict[str, Any]) -> dict[str, Any]:
    """Return the energy of a task during a window with a scripted fault."""
    with stage.Play(request, "codecarbon") as play:
        # Inside the `with`, because the import opens the library of the driver.
        from codecarbon import OfflineEmissionsTracker

        tracker = OfflineEmissionsTracker(measure_power_secs=1, log_level="warning", **_OPTIONS)
        play.attempt(lambda: (tracker.start_task("first"), tracker.stop_task()))
        play.begin(lambda: tracker.start_task("window"))
        data = play.end(tracker.stop_task)
    return play.answer(data and data.gpu_energy * _J_PER_KWH)


if __name__ == "__main__":
    stage.main({"tasks": tasks, "windows": windows, "cost": cost, "fault": fault})
