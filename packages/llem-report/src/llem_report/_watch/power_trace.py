"""The power of the last minutes, from the readings that each run writes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from llem_energy.records import LiveReading

SPAN_S = 300.0
"""Of the line on the page."""


class TracePoint(NamedTuple):
    """One reading."""

    age_s: float
    power_w: float
    run: int
    stage: str


class DevicePower(msgspec.Struct, frozen=True):
    """The newest reading of one device."""

    device: str
    power_w: float | None
    temperature_c: float | None


class Power(msgspec.Struct, frozen=True, kw_only=True):
    """What the meters of the run in progress read; nothing is estimated."""

    total_w: float | None = None
    """Of all devices; None if one of them has no reading, or the newest reading is too old."""
    devices: tuple[DevicePower, ...] = ()
    """() without a recent reading."""
    age_s: float | None = None
    """Of the newest reading; None if there is none."""
    trace: tuple[TracePoint, ...] = ()
    """The oldest first."""


class PowerTrace:
    """Keeps the readings of the last minutes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start without readings; `clock` returns Unix time in seconds."""
        self._clock = clock
        self._last: LiveReading | None = None
        self._points: deque[tuple[float, float, int, str]] = deque(maxlen=int(SPAN_S) * 2)

    def add(self, run: int, reading: LiveReading) -> None:
        """Take a reading of a run; the same reading again changes nothing."""
        if reading == self._last:
            return
        self._last = reading
        total_w = _total_w(reading)
        if total_w is not None:
            self._points.append((reading.written_at_s, total_w, run, reading.stage))

    def now(self, max_age_s: float) -> Power:
        """Return the present power, and the line that led to it."""
        now_s = self._clock()
        trace = tuple(
            TracePoint(max(0.0, now_s - at_s), power_w, run, stage)
            for at_s, power_w, run, stage in self._points
            if -max_age_s <= now_s - at_s <= SPAN_S
        )
        last = self._last
        if last is None:
            return Power(trace=trace)
        age_s = now_s - last.written_at_s
        if abs(age_s) > max_age_s:
            return Power(age_s=age_s, trace=trace)
        devices = tuple(DevicePower(d.device, d.power_w, d.temperature_c) for d in last.devices)
        return Power(total_w=_total_w(last), devices=devices, age_s=age_s, trace=trace)


def _total_w(reading: LiveReading) -> float | None:
    powers_w = [device.power_w for device in reading.devices]
    present = [power_w for power_w in powers_w if power_w is not None]
    if not present or len(present) < len(powers_w):
        return None
    total_w = sum(present)
    return total_w if 0 <= total_w < 1e9 else None  # a file of another person may hold anything
