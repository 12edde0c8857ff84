"""A program that uses a meter in every way that is allowed, and in the wrong ones; prints JSON.

python tests/energy/meter/uses.py     (under the scripted driver)
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from llem_energy import EnergyMeter, EnergyWindow, MeasurementError

W = 300.0


def seen(window: EnergyWindow) -> dict[str, Any]:
    """Return what a test needs of a window."""
    energy = window.energy
    return {
        "j": energy.total_j, "bound_j": energy.bound_j, "uncertainty_j": energy.uncertainty_j,
        "status": energy.status, "reasons": energy.reasons, "s": window.duration_s,
        "devices": {device.device: device.energy_j for device in energy.devices},
        "name": window.name,
    }  # fmt: skip


def refusal(action: Callable[[], object]) -> str:
    """Return the sentence with which an action is refused."""
    try:
        action()
    except MeasurementError as error:
        return str(error)
    return "not refused"


def threads(meter: EnergyMeter) -> list[EnergyWindow]:
    """Open a window in each of four threads at once."""
    windows = [meter.window(f"thread {i}") for i in range(4)]

    def use(window: EnergyWindow) -> None:
        with window:
            time.sleep(0.4)

    running = [threading.Thread(target=use, args=(window,)) for window in windows]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return windows


def in_child(meter: EnergyMeter, before: EnergyWindow) -> dict[str, Any]:
    """Fork, and return what the child sees of a window of its own and of one of its parent."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with meter.window() as own:
            time.sleep(0.01)
        before.close()
        meter.close()
        os.write(writer, json.dumps([seen(own), seen(before), len(meter.latest())]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return {"child": json.loads(os.read(reader, 100_000)), "parent": seen(before.close())}


def main() -> None:
    """Use one meter after the other."""
    answer: dict[str, Any] = {}
    waits = []
    meter = EnergyMeter(mode="light", synchronize=lambda: waits.append(1))
    time.sleep(0.2)
    answer["latest"] = len(meter.latest())
    with meter.window("outer") as outer:
        first = meter.begin_window("first")
        time.sleep(0.3)
        second = meter.begin_window("second")
        time.sleep(0.3)
        answer["open"] = seen(first)
        ended = meter.end_window("first")
        time.sleep(0.3)
        meter.end_window("second")
    answer["waits"] = len(waits)
    answer["same"] = ended is first
    answer["overlapping"] = [seen(window) for window in (outer, first, second)]

    @meter.window("call")
    def work(value: int) -> int:
        """Work."""
        time.sleep(0.2)
        return value + 1

    @meter.window("async call")
    async def work_async() -> str:
        await asyncio.sleep(0.2)
        return "done"

    async def exact() -> list[Any]:
        async with meter.window("exact async", mode="exact") as window:
            ticks = await asyncio.gather(work_async(), work_async())
        return [ticks, window]

    answer["returned"] = [work(1), work(2), work.__doc__]
    ticks, window = asyncio.run(exact())
    answer["async"] = [ticks, seen(window)]
    answer["decorated"] = [seen(each) for each in (*work.windows, *work_async.windows)]  # type: ignore[attr-defined]
    answer["threads"] = [seen(window) for window in threads(meter)]
    with meter.window("empty") as empty:
        pass
    answer["empty"] = seen(empty)
    answer["unopened"] = seen(meter.window("unopened"))

    def raises() -> None:
        with meter.window("raises") as window:
            answer["raised"] = window
            time.sleep(0.2)
            raise ValueError("of the user")

    try:
        raises()
    except ValueError as error:
        answer["raised"] = [str(error), seen(answer["raised"])]
    meter.begin_window("twice")
    answer["refused"] = {
        "begun twice": refusal(lambda: meter.begin_window("twice")),
        "unknown": refusal(lambda: meter.end_window("other")),
        "opened twice": refusal(first.open),
        "closed twice": refusal(first.close),
        "closed unopened": refusal(meter.window("w").close),
        "mode": refusal(lambda: meter.window(mode="fast")),  # type: ignore[arg-type]
        "mode of the meter": refusal(lambda: EnergyMeter(mode="fast")),  # type: ignore[arg-type]
        "period": refusal(lambda: EnergyMeter(sample_period_s=0.0)),
    }
    answer["forked"] = in_child(meter, meter.window("before the fork").open())
    left_open = meter.window("left open").open()
    late = meter.window("read after close").open()
    time.sleep(0.3)
    late.close()
    meter.close()
    meter.close()
    answer["read after close"] = seen(late)
    answer["left open"] = seen(left_open)
    answer["closed inside"] = seen(left_open.close())
    answer["ended after"] = seen(meter.end_window("twice"))
    with meter.window("after close") as after:
        pass
    answer["after close"] = seen(after)

    def fails() -> None:
        raise RuntimeError("device is lost")

    with EnergyMeter(mode="light", synchronize=fails) as failing, failing.window() as unsure:
        time.sleep(0.3)
    answer["unsynchronised"] = seen(unsure)
    with EnergyMeter([]) as none, none.window() as no_gpu:
        pass
    answer["no gpu"] = seen(no_gpu)
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
