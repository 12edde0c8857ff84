"""The updates of a counter after a window, and the power of its device there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llem_energy._estimation.edge_estimators import CounterWindow
from llem_energy._estimation.power_integral import Point, mean_w
from llem_energy._metering.power_tolerance import STRETCH_S
from llem_energy._metering.span import Span

IDLE_CHANGE = 0.05  # idle power before and after the window differ by this share at least


class IdlePower(NamedTuple):
    """The power that the meters of a board show next to a window, while it idles."""

    after_w: float
    """Of the last updates of the counter after the window."""
    before_w: float | None
    """Of the last updates of the counter before it; None if it was read too late."""
    sensor_before_w: float | None
    """Of the sensor before it; None if it was not read."""

    @property
    def counter_w(self) -> list[float]:
        """Return what the counter showed, after the window first."""
        return [self.after_w] if self.before_w is None else [self.after_w, self.before_w]


def guard_updates(
    counter: CounterWindow, powers: Sequence[Point], span: Span
) -> GuardUpdates | None:
    """Return the updates of a counter after a window.

    Args:
        counter: of the device.
        powers: instant power in time order; () if the device does not report it.
        span: the window, with its guards.

    Returns:
        None if there are fewer than three.
    """
    first = counter.first_after(span.end_s)
    if first is None:
        return None
    until_s = span.end_s + max(span.after_s, span.guard_s)
    last = first
    while last + 1 < len(counter.updates) and counter.time_s(last + 1) <= until_s:
        last += 1
    if last - first < 2:
        return None
    after_w = counter.power_w(_idle_from(counter, first, last), last)
    if after_w is None:
        return None
    sensor_before_w = mean_w(powers, span.start_s - STRETCH_S, span.start_s)
    idle = IdlePower(after_w, _idle_before_w(counter, span), sensor_before_w)
    return GuardUpdates(counter, powers, span, (first, last), idle)


class GuardUpdates:
    """The updates after a window, from number `first` to number `last`."""

    def __init__(
        self,
        counter: CounterWindow,
        powers: Sequence[Point],
        span: Span,
        numbers: tuple[int, int],
        idle: IdlePower,
    ) -> None:
        self.counter, self.span, self.idle = counter, span, idle
        self.first, self.last = numbers
        self.powers = powers
        self.first_s, self.last_s = counter.time_s(self.first), counter.time_s(self.last)

    @property
    def after_j(self) -> float:
        """Return the rise of the counter above idle power, after its first update."""
        return self.rise_j(self.idle.after_w)

    def rise_j(self, idle_w: float) -> float:
        """Return the rise of the counter above a power, after its first update."""
        updates = self.counter.updates
        rise_j = updates[self.last].energy_j - updates[self.first].energy_j
        return rise_j - idle_w * (self.last_s - self.first_s)

    @property
    def power_after_j(self) -> float | None:
        """Return the same from instant power; None if it was not read."""
        from_s, to_s = self.first_s, self.last_s
        mean = mean_w(self.powers, from_s, to_s)
        idle_w = self.idle_sensor_w
        if mean is None or idle_w is None:
            return None
        return (mean - idle_w) * (to_s - from_s)

    @property
    def idle_sensor_w(self) -> float | None:
        """Return instant power next to the last updates."""
        idle_from = _idle_from(self.counter, self.first, self.last)
        return mean_w(self.powers, self.counter.time_s(idle_from), self.last_s)

    def sensor_after_w(self, before_w: float | None) -> float | None:
        """Return idle power of the sensor after the window.

        The sensor may not have reached it. It rose no more than that of the counter did.

        Args:
            before_w: idle power of the counter before the window.
        """
        later_w, base_w = self.idle_sensor_w, self.idle.sensor_before_w
        if later_w is None or before_w is None or base_w is None:
            return later_w
        return min(later_w, base_w + max(0.0, self.idle.after_w - before_w))

    @property
    def rounding_w(self) -> float:
        """Return by how much rounding may change the power of a short time."""
        return self.counter.quantum_j / STRETCH_S


def _idle_from(counter: CounterWindow, first: int, last: int) -> int:
    """Return the number of the update from which on the last power is taken."""
    i = last - 1
    while i > first + 1 and counter.time_s(last) - counter.time_s(i) < STRETCH_S:
        i -= 1
    return i


def _idle_before_w(counter: CounterWindow, span: Span) -> float | None:
    """Return the power of the last updates in the guard before the window."""
    after = counter.first_after(span.start_s)
    if after is None or after < 2:
        return None
    end = after - 1
    for i in range(end - 1, -1, -1):
        if counter.time_s(i) < span.start_s - span.guard_s:
            return None
        if counter.time_s(end) - counter.time_s(i) >= STRETCH_S:
            return counter.power_w(i, end)
    return None
