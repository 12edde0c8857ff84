"""The energy up to one end of a window, and a tail of power behind its end."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

EdgeMethod = Literal["edge read", "interpolated", "quiet edge"]
_ONE_SIDE = 1.645 / 1.960  # quantiles of a normal distribution: 95 % on one side and on both
_SHOWS = 0.5  # of an uncertainty (95 %): about one standard deviation


class Edge(msgspec.Struct, frozen=True):
    """The energy up to one end of a window, on the scale of the counter."""

    method: EdgeMethod
    energy_j: float
    uncertainty_j: float
    power_w: float | None = None
    """At this end. A counter that is late shows less energy by this power times its delay."""


def with_tail(quiet: Edge, from_work: Edge, step_j: float | None) -> Edge:
    """Return a quiet edge at the end, wider if the board used more than idle power just after it.

    Such a tail can be over before the next update. It shows as energy that the work does not explain.
    Less energy than that of the work means that the device idled before the end already.
    A step of power after the next update is the end of such a tail, whose power is not known.

    Args:
        quiet: without the tail.
        from_work: what the power of the work explains.
        step_j: the most energy that a step after the end can add; None if power does not fall in one.
    """
    tail_j = quiet.energy_j - from_work.energy_j
    if step_j is not None:
        # The step adds energy and takes none away, so 19 of 20 windows are on one side.
        possible_j = max(0.0, tail_j) + _ONE_SIDE * from_work.uncertainty_j
        uncertainty_j = math.hypot(quiet.uncertainty_j, min(possible_j, step_j))
        return msgspec.structs.replace(quiet, uncertainty_j=uncertainty_j)
    if tail_j <= _SHOWS * math.hypot(quiet.uncertainty_j, from_work.uncertainty_j):
        return quiet
    tail_j += _SHOWS * from_work.uncertainty_j
    uncertainty_j = math.hypot(quiet.uncertainty_j, tail_j)
    return msgspec.structs.replace(quiet, uncertainty_j=uncertainty_j)
