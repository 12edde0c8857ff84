"""Whether a counter showed the beginning of the work at once.

A board whose power falls slowly after the work still begins to work at once. A meter that is late or
filtered shows the beginning late too. So the beginning of a window tells the two apart, also where
the sensor of power is as late, or as filtered, as the counter.
"""

from __future__ import annotations

from llem_energy._estimation.edge_estimators import CounterWindow
from llem_energy._estimation.guard_updates import STRETCH_S
from llem_energy._metering.span import Span

_N_STRETCHES = 4  # from the start: a load may change later for reasons of its own
_AT_ONCE = 0.8  # of the power that follows; the power of a load varies
_SOON = 0.25  # of an interval: work that began so soon after an update began with it


def rose_slowly(counter: CounterWindow, span: Span, before_w: float | None) -> bool:
    """Return whether the counter showed less power in the first moment of the work than after it.

    Args:
        counter: around the window.
        span: the window.
        before_w: power of the counter before the window.

    Returns:
        False if the window is too short to tell.
    """
    after = counter.first_after(span.start_s)
    if after is None or after < 1 or before_w is None:
        return False
    length_s = counter.time_s(after) - counter.time_s(after - 1)
    is_soon = span.start_s - counter.time_s(after - 1) <= _SOON * length_s
    begin = after - 1 if is_soon else after
    powers_w: list[float] = []
    for i in range(begin + 1, len(counter.updates)):
        if counter.time_s(i) > span.end_s or len(powers_w) == _N_STRETCHES:
            break
        # Power over a shorter time depends too much on when the counter was read.
        if counter.time_s(i) - counter.time_s(begin) >= STRETCH_S:
            powers_w.append((counter.power_w(begin, i) or 0.0) - before_w)
            begin = i
    return len(powers_w) > 1 and powers_w[0] < _AT_ONCE * max(powers_w)
