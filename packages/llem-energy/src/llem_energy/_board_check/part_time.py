"""Whether a counter observes the board all the time, or only a part of each of its periods.

The board is loaded once in each period of the counter, for half of it, and the place of the load
within the period is moved in 16 steps. A counter that sees everything shows the same energy at every
place. One that sees only a part shows more where the load falls into that part.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from llem_energy._board_check.bench import Played, Pulse
from llem_energy._board_check.readings import Point, changes

N_PLACES = 16
DUTY = 0.5
_SHORTEST_S = 0.01  # of a period: the host cannot start shorter loads on time
_MIN_PERIODS = 8
_LEAD_S, _PAUSE_PERIODS = 2.0, 4
_MAX_LATE = 0.1  # of a period, for the start of a load
_SHARES = [k / 40 for k in range(2, 41)]
_SHIFTS = [k / 64 for k in range(64)]


class PartTime(NamedTuple):
    """What the places have shown; None with the reason if nothing."""

    seen_share: float | None
    spread_share: float | None
    reason: str | None


def place_pulses(period_s: float, seconds: float, settle_s: float = 0.0) -> list[Pulse]:
    """Return the pulses of all places in turn; [] if the period is too short for this test.

    Args:
        period_s: of the counter, to a few tenths of a percent.
        seconds: about, for each place.
        settle_s: added to each place, for a counter that is late or filtered.
    """
    if period_s < _SHORTEST_S:
        return []
    n_periods = max(_MIN_PERIODS, round(seconds / period_s)) + _n_settling(period_s, settle_s)
    return [
        Pulse(
            _LEAD_S + period_s * (place * (n_periods + _PAUSE_PERIODS) + i + place / N_PLACES),
            DUTY * period_s,
        )
        for place in range(N_PLACES)
        for i in range(n_periods)
    ]


def part_time(
    played: Played, pulses: Sequence[Pulse], period_s: float, settle_s: float = 0.0
) -> PartTime:
    """Return the share of each period that the counter observes.

    Args:
        played: the recording of `pulses`.
        pulses: what `place_pulses` gave.
        period_s: the same.
        settle_s: the same.
    """
    if not pulses:
        return PartTime(None, None, f"the period of the counter is below {_SHORTEST_S:g} s")
    late = [
        abs(start_s - played.begin_s - pulse.start_s)
        for pulse, (start_s, _) in zip(pulses, played.loads, strict=True)
    ]
    if statistics.median(late) > _MAX_LATE * period_s:
        return PartTime(None, None, "the host started the loads too late; stop other programs")
    updates = changes(played.samples, lambda s: s.energy_j)
    idle_w = _mean_w(updates, played.begin_s, played.loads[0][0])
    over_w = []
    if idle_w is not None:
        n_settling = _n_settling(period_s, settle_s)
        over_w = list(_over_idle(played, updates, idle_w, period_s, n_settling))
    if len(over_w) < N_PLACES or statistics.fmean(over_w) <= 0:
        return PartTime(None, None, "the counter did not show the loads")
    spread = (max(over_w) - min(over_w)) / statistics.fmean(over_w)
    return PartTime(_seen_share(over_w), spread, None)


def _n_settling(period_s: float, settle_s: float) -> int:
    """Return the periods to leave out: the first one holds the time before the first load too."""
    return 1 + math.ceil(settle_s / period_s)


def _over_idle(
    played: Played, updates: Sequence[Point], idle_w: float, period_s: float, n_settling: int
) -> Iterator[float]:
    """Yield the power over idle at each place, for the nominal duty."""
    n_each = len(played.loads) // N_PLACES
    for place in range(N_PLACES):
        loads = played.loads[place * n_each + n_settling : (place + 1) * n_each]
        mean_w = _mean_w(updates, loads[0][0], loads[-1][0] + period_s)
        duty = statistics.fmean(end_s - start_s for start_s, end_s in loads) / period_s
        if mean_w is not None and duty > 0:
            yield (mean_w - idle_w) * DUTY / duty


def _mean_w(updates: Sequence[Point], start_s: float, end_s: float) -> float | None:
    """Return the mean power between the first and the last update in an interval."""
    inside = [point for point in updates if start_s <= point[0] <= end_s]
    if len(inside) < 3:
        return None
    (t0_s, e0_j), (t1_s, e1_j) = inside[0], inside[-1]
    return (e1_j - e0_j) / (t1_s - t0_s)


def _seen_share(over_w: Sequence[float]) -> float:
    """Return the share of the period that explains the energy at all places best."""
    scale = DUTY / statistics.fmean(over_w)
    seen = [scale * watts for watts in over_w]

    def misfit(share: float) -> float:
        return min(
            sum(
                (value - _overlap(place / N_PLACES + shift, share)) ** 2
                for place, value in enumerate(seen)
            )
            for shift in _SHIFTS
        )

    return min(_SHARES, key=misfit)


def _overlap(start: float, share: float) -> float:
    """Return the part of a window of length `share`, ending at 1, that a load from `start` fills.

    All in periods; the load lasts `DUTY` and returns in each period.
    """
    start %= 1.0
    pieces = [(start, start + DUTY), (start - 1.0, start - 1.0 + DUTY)]
    return sum(max(0.0, min(1.0, b) - max(1.0 - share, a)) for a, b in pieces) / share
