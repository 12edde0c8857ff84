"""The parts that check the energy counter: how it follows a load, and if power agrees with it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import msgspec

from benchmarks.gpu.check import DENSE_S, Check, Row
from benchmarks.gpu.durations import ms
from benchmarks.gpu.traces import changes, counter_pieces, power_pieces
from benchmarks.gpu.waves import Burst, Fit, conclusion, fit, updates_per_step


def exactness(check: Check) -> Iterator[Row]:
    """Check whether the counter shows a step of the load within one update, or smeared."""
    load, period_s = check.loaded, check.period_s
    on_s = max(0.4, 4 * period_s)
    n_bursts = max(8, round((8.0 if check.quick else 20.0) / (2 * on_s + period_s / 2)))
    bursts: list[Burst] = []
    with check.recording(DENSE_S) as samples:
        time.sleep(1.0)
        for i in range(n_bursts):
            start_s = time.perf_counter()
            load.run(on_s)
            bursts.append((start_s, time.perf_counter()))
            # Pauses of varying length, so that edges occur at every phase of the meter.
            time.sleep(on_s + period_s * (0.618 * i % 1))
        time.sleep(4 * period_s)
    counter = counter_pieces(changes(samples, lambda s: s.energy_j))
    power = power_pieces(changes(samples, lambda s: s.power_w))
    meters = {
        "instant power": (power, check.calibration.power_period_s or period_s),
        "energy counter": (counter, period_s),
    }
    fits: dict[str, Fit] = {}
    for name, (pieces, unit_s) in meters.items():
        what = f"{n_bursts} steps of {on_s:.2g} s in {name}"
        if not pieces:
            yield Row(what, "cannot be read")
            continue
        fits[name] = response = fit(pieces, bursts, unit_s)
        steps = updates_per_step(pieces, bursts)
        step = "no clear step"
        if steps:
            step = f"90 % after {statistics.median(steps):g} updates, max {max(steps)}"
        yield Row(
            what,
            f"{step}; fit: delay {ms(response.delay_s)}, lag {ms(response.lag_s)}, "
            f"{response.off_w:.0f} to {response.on_w:.0f} W, explains {100 * response.explained:.1f} %",
            ""
            if name != "energy counter"
            else conclusion(response, fits.get("instant power"), period_s),
            {name: msgspec.to_builtins(response) | {"updates_per_step": steps}},
        )
    if len(fits) == len(meters):
        swing = fits["energy counter"].swing_w / fits["instant power"].swing_w
        yield Row(
            "swing of counter power divided by swing of instant power",
            f"{swing:.3f}",
            "1: neither is damped and both have the same gain",
            {"swing": swing},
        )


def agreement(check: Check) -> Iterator[Row]:
    """Compare the counter with the integral of instant power, at idle and under constant load."""
    yield _compared("idle", check, lambda: time.sleep(0.5), 2.5 if check.quick else 20.0)
    if check.load is not None:
        load = check.load
        seconds = 10.0 if check.quick else 60.0
        load.run(2.0)  # after the first jump of clocks and temperature
        yield _compared("constant load", check, lambda: load.run(1.0), seconds)


def _compared(what: str, check: Check, work: Callable[[], None], seconds: float) -> Row:
    figures, span = check.window(work, seconds)
    length_s = span.end_s - span.start_s
    powers = [
        None if j is None else j / length_s for j in (figures.counter_j, figures.integrated_j)
    ]
    shown = " and ".join("missing" if power is None else f"{power:.1f} W" for power in powers)
    apart = "" if figures.disagreement is None else f", {100 * figures.disagreement:+.2f} %"
    bound = None
    if figures.bound_j and figures.total_j:
        bound = figures.bound_j / figures.total_j
    return Row(
        f"counter and integrated power, {what}, {length_s:.1f} s",
        f"{shown}{apart}; bound {'none' if bound is None else f'{100 * bound:.2g} %'}; "
        f"{figures.method}",
        "; ".join(figures.total.reasons) or _difference(figures.disagreement),
        {
            what: {
                "seconds": length_s, "counter_w": powers[0], "integrated_w": powers[1],
                "disagreement": figures.disagreement, "bound_share": bound,
                "status": figures.total.status, "reasons": figures.total.reasons,
            }
        },
    )  # fmt: skip


def _difference(disagreement: float | None) -> str:
    if disagreement is None:
        return "nothing to compare"
    return f"they differ by {'less' if abs(disagreement) < 0.05 else 'more'} than 5 %"
