"""The line of the power has real readings only, and is broken where there is none."""

from __future__ import annotations

import re

from llem_energy.records import LiveDevice, LiveReading
from llem_report._watch.drawing import bar, line, top_of, windows
from llem_report._watch.power_trace import SPAN_S, PowerTrace, TracePoint


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def reading(at_s: float, *powers_w: float | None, stage: str = "window") -> LiveReading:
    devices = tuple(
        LiveDevice(device=f"GPU-{number}", power_w=power_w, temperature_c=None)
        for number, power_w in enumerate(powers_w)
    )
    return LiveReading(
        n_written=1, written_at_s=at_s, stage=stage, devices=devices, n_written_again=1
    )


def test_the_total_is_of_all_devices_or_missing() -> None:
    trace = PowerTrace(Clock())
    trace.add(1, reading(1000.0, 100.0, 50.0))
    assert trace.now(5).total_w == 150.0
    trace.add(1, reading(1000.0, 100.0, None))
    power = trace.now(5)
    assert power.total_w is None
    assert [device.power_w for device in power.devices] == [100.0, None]
    assert len(power.trace) == 1


def test_an_old_reading_is_in_the_line_but_is_not_the_present_power() -> None:
    clock = Clock()
    trace = PowerTrace(clock)
    trace.add(1, reading(1000.0, 100.0))
    clock.now_s = 1006.0
    power = trace.now(5)
    assert (power.total_w, power.devices, power.age_s) == (None, (), 6.0)
    assert power.trace == (TracePoint(6.0, 100.0, 1, "window"),)
    clock.now_s = 1001.0 + SPAN_S
    assert trace.now(5).trace == ()


def test_a_reading_that_was_seen_is_not_counted_twice() -> None:
    trace = PowerTrace(Clock())
    for _ in range(3):
        trace.add(1, reading(1000.0, 100.0))
    assert len(trace.now(5).trace) == 1


def test_impossible_powers_are_no_reading() -> None:
    for power_w in (-5.0, float("inf"), 1e300):
        trace = PowerTrace(Clock())
        trace.add(1, reading(1000.0, power_w))
        assert trace.now(5).total_w is None
        assert trace.now(5).trace == ()


def test_memory_is_bounded() -> None:
    clock = Clock()
    trace = PowerTrace(clock)
    for second in range(5000):
        clock.now_s = 1000.0 + second
        trace.add(1, reading(clock.now_s, 100.0))
    assert len(trace.now(5).trace) <= SPAN_S + 1
    assert len(trace._points) <= 2 * SPAN_S


def test_the_line_is_broken_by_a_hole_and_by_a_new_run() -> None:
    trace = [
        TracePoint(100.0, 50.0, 1, "load"),
        TracePoint(99.0, 100.0, 1, "load"),
        TracePoint(90.0, 100.0, 1, "window"),
        TracePoint(89.0, 0.0, 2, "window"),
    ]
    path = line(trace, 100.0)
    assert path.count("M") == 3
    assert path.startswith("M400.0 60.0h0L402.0 0.0")
    assert path.endswith("120.0h0")
    assert re.fullmatch(r"[MLh0-9. ]+", path)


def test_only_measured_windows_are_shaded() -> None:
    trace = [
        TracePoint(float(100 - second), 50.0, 1, "window" if 3 <= second < 6 else "load")
        for second in range(10)
    ]
    assert windows(trace) == "M406.0 0H410.0V120H406.0Z"
    assert windows(trace[:2]) == ""


def test_the_axis_ends_at_a_round_number_above_all_readings() -> None:
    for largest in (0.0, 0.3, 1.0, 99.0, 100.0, 143.0, 401.0, 6999.0):
        assert largest <= top_of([0.0, largest]) <= max(1.0, 1.7 * largest)
    assert top_of([]) == 1.0
    assert top_of([143.0]) == 150.0


def test_the_parts_of_the_bar_are_in_proportion() -> None:
    assert bar([1, 0, 1, 2]) == [(0, 250), (250, 0), (250, 250), (500, 500)]
    assert bar([0, 0]) == [(0, 0), (0, 0)]
