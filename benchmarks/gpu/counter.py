"""The parts that check the energy counter: how it follows a load, and if power agrees with it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from benchmarks.gpu.check import Check, Row
from benchmarks.gpu.durations import ms
from llem_energy._board_check.check import EXPLAINED
from llem_energy._board_check.part_time import N_PLACES, part_time, place_pulses
from llem_energy._board_check.steps import step_pulses, step_response
from llem_energy._board_check.waves import Fit, is_filtered, is_late


def exactness(check: Check) -> Iterator[Row]:
    """Check whether the counter shows a step of the load within one update, or smeared."""
    period_s = check.period_s
    pulses = step_pulses(period_s, 8.0 if check.quick else 20.0)
    what = f"{len(pulses)} steps of {pulses[0].length_s:.2g} s in"
    played = check.bench.play(pulses, 4 * period_s)
    response = step_response(played, check.calibration, period_s)
    if response.power is None:
        yield Row(f"{what} instant power", "cannot be read")
    else:
        yield _response(f"{what} instant power", response.power, response.power_steps, "")
    yield _response(
        f"{what} energy counter",
        response.counter,
        response.counter_steps,
        conclusion(response.counter, response.power, period_s),
    )
    if response.power is not None:
        swing = response.counter.swing_w / response.power.swing_w
        yield Row(
            "swing of counter power divided by swing of instant power",
            f"{swing:.3f}",
            "1: neither is damped and both have the same gain",
            {"swing": swing},
        )


def _response(what: str, seen: Fit, steps: Sequence[int], means: str) -> Row:
    step = "no clear step"
    if steps:
        step = f"90 % after {statistics.median(steps):g} updates, max {max(steps)}"
    return Row(
        what,
        f"{step}; fit: delay {ms(seen.delay_s)}, lag {ms(seen.lag_s)}, "
        f"{seen.off_w:.0f} to {seen.on_w:.0f} W, explains {100 * seen.explained:.1f} %",
        means,
        {what.partition(" in ")[2]: msgspec.to_builtins(seen) | {"updates_per_step": list(steps)}},
    )


def conclusion(counter: Fit, power: Fit | None, period_s: float) -> str:
    """Return what the response of a counter means for our estimators."""
    if counter.explained < EXPLAINED:
        return "unclear: the load does not explain the readings of the counter"
    if is_filtered(counter, power, period_s):
        return (
            f"filtered with a lag of about {ms(counter.lag_s)}: interpolation gains nothing, and a "
            "guard must be several lags long"
        )
    if is_late(counter, period_s):
        return (
            f"exact, but late by {ms(counter.delay_s)}: an edge has an error of up to "
            f"{counter.delay_s * counter.swing_w:.2g} J"
        )
    return "exact at its updates: interpolation and quiet edge are as accurate as expected"


def part_time_places(check: Check) -> Iterator[Row]:
    """Check whether the counter observes the GPU all the time, by a load that keeps pace with it."""
    pulses = place_pulses(check.period_s, 1.5 if check.quick else 3.0)
    if not pulses:
        yield Row("loads in pace with the counter", "its period is too short for this test")
        return
    seen = part_time(check.bench.play(pulses, 4 * check.period_s), pulses, check.period_s)
    what = f"the same load at {N_PLACES} places within the period of the counter"
    if seen.spread_share is None:
        yield Row(what, seen.reason or "")
        return
    yield Row(
        what,
        f"energy over idle differs by {100 * seen.spread_share:.1f} %; the counter observes "
        f"{100 * (seen.seen_share or 0):.0f} % of each period",
        "0 %: it sees everything, whatever the load does",
        {"seen_share": seen.seen_share, "spread_share": seen.spread_share},
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
