"""The part that watches power fall after the last kernel."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.gpu.check import DENSE_S, Check, Row
from benchmarks.gpu.durations import ms
from benchmarks.gpu.traces import WITHIN, changes, counter_pieces, settled_s
from llem_energy import GpuError
from llem_energy._estimation.power_integral import integrated_energy


def tail(check: Check) -> Iterator[Row]:
    """How long power takes to fall after the last kernel, and what that adds up to."""
    watch_s = 4.0 if check.quick else 10.0
    tails = [_tail(check, watch_s) for _ in range(1 if check.quick else 2)]
    for name in ("instant power", "energy counter"):
        after = [one[name] for one in tails]
        shown = ", ".join(f"not in {watch_s:g} s" if s is None else ms(s) for s in after)
        yield Row(
            f"{name} within {100 * WITHIN:.0f} % of idle after the last kernel", shown,
            "the idle power of a guard is measured after that, or else it is still falling",
            {name: after},
        )  # fmt: skip
    for number, one in enumerate(tails, 1):
        yield Row(
            "the tail: energy over idle; mean power of the first updates after the end",
            f"{one['tail_j']:.3g} J = {ms(one['tail_j'] / one['load_w'])} of load; "
            + ", ".join(f"{watts:.0f}" for watts in one["first_w"])
            + f" W; idle {one['idle_w']:.0f} W before, {one['end_w']:.0f} W at the end",
            "a window ends at the last kernel: what falls after it is not in its energy",
            {f"tail {number}": one},
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
        found = [watts for t_s, watts in power if a <= t_s <= b]
        if not found:
            raise GpuError("instant power cannot be read")
        return statistics.fmean(found)

    idle_w, end_w = mean(0.0, start_s), mean(end_s + watch_s - 1.0, end_s + watch_s)
    under = integrated_energy(power, end_s, end_s + watch_s - 0.1, longest_gap_s=1.0)
    if under is None:
        raise GpuError("instant power was not read all along")
    return {
        "instant power": settled_s(power, end_s, idle_w),
        "energy counter": settled_s(counter, end_s, idle_w),
        "tail_j": under.energy_j - end_w * (watch_s - 0.1),
        "first_w": [watts for t_s, watts in counter if t_s > end_s][:5],
        "load_w": mean(end_s - 1.0, end_s), "idle_w": idle_w, "end_w": end_w,
    }  # fmt: skip
