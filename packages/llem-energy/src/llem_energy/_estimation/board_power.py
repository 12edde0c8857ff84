"""How much power a board drew, or may have drawn, in a window."""

from __future__ import annotations

from collections.abc import Sequence

from llem_energy._metering.power_tolerance import tolerance_w
from llem_energy._metering.span import Span
from llem_energy._sources.protocol import Sample


def largest_w(samples: Sequence[Sample], limit_w: float | None) -> float:
    """Return the most that a board draws for longer: its limit, or what was seen."""
    return max([limit_w or 0.0, *(s.power_w for s in samples if s.power_w is not None)])


def above_idle_j(energy_j: float, samples: Sequence[Sample], span: Span) -> float:
    """Return the part of the energy of a window that is above idle power.

    Args:
        energy_j: of the window.
        samples: of the board, also after the window.
        span: the window; without guards, idle power is not known, and 0 takes its place.
    """
    after = [s.power_w for s in samples if s.t_s > span.end_s] if span.guard_s else []
    idle_w = min((power_w for power_w in after if power_w is not None), default=0.0)
    return max(0.0, energy_j - idle_w * (span.end_s - span.start_s))


def first_peak_w(energy_j: float, above_j: float, span: Span, largest: float) -> float:
    """Return the power that a board may draw unseen at the beginning of its work.

    Args:
        energy_j: of the window.
        above_j: the part above idle power.
        span: the window.
        largest: power of the board, in watts.

    Returns:
        0 if the work did not begin with the window.
    """
    if not span.guard_s:
        return 0.0
    mean_w, load_w = (joules / (span.end_s - span.start_s) for joules in (energy_j, above_j))
    # A board that hardly works does not begin with all of its power.
    return largest if load_w >= tolerance_w(mean_w) else mean_w + load_w
