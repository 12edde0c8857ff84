"""The part that records the fall of power after the last kernel."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.gpu.check import Check, Row
from benchmarks.gpu.durations import ms
from benchmarks.gpu.traces import WITHIN, settled_s
from llem_energy import GpuError
from llem_energy._board_check.bench import DENSE_S
from llem_energy._board_check.readings import changes, counter_pieces
from llem_energy._estimation.power_integral import integrated_energy


def power_tail(check: Check) -> Iterator[Row]:
    """Measure how long power takes to fall after the last kernel, and the energy of that time."""
    watch_s = 4.0 if check.quick else 10.0
    tails = [_tail(check, watch_s) for _ in range(1 if check.quick else 2)]
    for name in ("instant power", "energy counter"):
        after = [tail[name] for tail in tails]
        shown = ", ".join(f"not within {watch_s:g} s" if s is None else ms(s) for s in after)
        yield Row(
            f"{name} within {100 * WITHIN:.0f} % of idle after the last kernel", shown,
            "a guard must measure idle power after that time, when it no longer falls",
            {name: after},
        )  # fmt: skip
    for number, tail in enumerate(tails, 1):
        yield Row(
            "the tail: energy over idle; mean power of the first updates after the end",
            f"{tail['tail_j']:.3g} J = {ms(tail['tail_j'] / tail['load_w'])} of load; "
            + ", ".join(f"{watts:.0f}" for watts in tail["first_w"])
            + f" W; idle {tail['idle_w']:.0f} W before, {tail['end_w']:.0f} W at the end",
            "a window ends at the last kernel: its energy does not include the tail",
            {f"tail {number}": tail},
        )


def _tail(check: Check, watch_s: float) -> dict[str, Any]:
    with check.recording(DENSE_S) as samples:
        time.sleep(2.0)
        start_s = time.perf_counter()
        check.loaded.run(3.0)
        end_s = time.perf_counter()
        time.sleep(watch_s)
    power = [(s.t_s, s.power_w) for s in samples if s.power_w is not None]
    counter = [(b, watts) for _, b, watts in counter_pieces(changes(samples, lambda s: s.energy_j))]

    def mean(a: float, b: float) -> float:
        readings_w = [watts for t_s, watts in power if a <= t_s <= b]
        if not readings_w:
            raise GpuError("instant power cannot be read")
        return statistics.fmean(readings_w)

    idle_w, end_w = mean(0.0, start_s), mean(end_s + watch_s - 1.0, end_s + watch_s)
    integral = integrated_energy(power, end_s, end_s + watch_s - 0.1, max_gap_s=1.0)
    if integral is None:
        raise GpuError("instant power was not read during the whole tail")
    return {
        "instant power": settled_s(power, end_s, idle_w),
        "energy counter": settled_s(counter, end_s, idle_w),
        "tail_j": integral.energy_j - end_w * (watch_s - 0.1),
        "first_w": [watts for t_s, watts in counter if t_s > end_s][:5],
        "load_w": mean(end_s - 1.0, end_s), "idle_w": idle_w, "end_w": end_w,
    }  # fmt: skip
