"""Signs that something else used a GPU, in what its meter showed while the run idled.

A process need not be listed to be noticed: it works, holds memory or draws power while the run does
not. A neighbour that draws power inside the window only leaves no such sign.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from llem_energy._measurement.idle import IdleSpan
from llem_energy._metering.span import Span
from llem_energy._sources.protocol import Sample

MAX_IDLE_UTILISATION = 0.02
MAX_FOREIGN_BYTES = 512 << 20
_MAX_EXCESS, _MAX_EXCESS_W = 0.05, 10.0  # of a guard over idle power; the larger one counts
_AVERAGED_S = 1.0  # the driver averages utilisation, and on some boards power, over up to this time
_CACHE_SHARE = 1.5  # an allocator holds more memory than it has given out, for its next request
_MAX_RISE, _MAX_RISE_W = 0.2, 20.0  # of idle power within an idle phase; the larger one counts
_RISE_UPDATES = 3  # a single reading may be an error of the sensor
_FALLING = 0.97  # of the power one update earlier; the board has then not come to rest
_SAME_CLOCK = 0.9  # a board that runs faster draws more, without any work
_NEAR_S = 2.0  # a clock is read once a second


def tenancy_signs(
    samples: Sequence[Sample],
    idles: Sequence[IdleSpan],
    loaded_idles: Sequence[IdleSpan],
    span: Span,
    own_growth_bytes: int | None,
) -> Iterator[str]:
    """Yield what shows that something else used one GPU.

    Args:
        samples: of this GPU, in time order, of the whole run.
        idles: when the run did not use the GPU, its baselines with and without a model.
        loaded_idles: those of them with the model loaded.
        span: the window; before and after it the run does not use the GPU for `span.guard_s`.
        own_growth_bytes: by how much the memory of the run at its peak was above that of the
            loaded model; None if it is not known, and memory then shows nothing.
    """
    busy = max((s.utilisation or 0.0 for s in _idle_samples(samples, idles)), default=0.0)
    if busy > MAX_IDLE_UTILISATION:
        yield f"something else used the GPU while the run idled: it was {busy:.0%} busy"
    rise_w = max((_rise_w(_idle_samples(samples, [idle])) for idle in idles), default=0.0)
    if rise_w:
        yield f"something else used the GPU while the run idled: its power rose by {rise_w:.3g} W"
    foreign_bytes = _foreign_bytes(samples, loaded_idles, own_growth_bytes)
    if foreign_bytes > MAX_FOREIGN_BYTES:
        yield (
            "something else used the GPU during the run: "
            f"{foreign_bytes / 2**30:.1f} GiB of its memory are not explained by the run"
        )
    for place, excess_w in _excesses_w(samples, loaded_idles, span):
        yield (
            f"something else used the GPU next to the window: just {place} it, it drew "
            f"{excess_w:.3g} W more than idle with the model loaded"
        )


def same_clock(samples: Sequence[Sample], spans: Iterable[IdleSpan]) -> bool:
    """Return whether the clock was about the same in all spans, or is not reported."""
    clocks = [clock for span in spans if (clock := _clock_mhz(_inside(samples, span))) is not None]
    return not clocks or min(clocks) >= _SAME_CLOCK * max(clocks)


def _idle_samples(samples: Sequence[Sample], idles: Iterable[IdleSpan]) -> Iterator[Sample]:
    for idle in idles:
        for sample in _inside(samples, idle):
            if sample.t_s >= idle.start_s + _AVERAGED_S:
                yield sample


def _foreign_bytes(
    samples: Sequence[Sample], loaded_idles: Sequence[IdleSpan], own_growth_bytes: int | None
) -> float:
    """Return by how much used memory rose beyond what the run can have caused."""
    if own_growth_bytes is None or not loaded_idles:
        return 0.0
    since_s = loaded_idles[0].start_s
    used = [s.memory_used_bytes for s in samples if s.t_s >= since_s]
    known = [n_bytes for n_bytes in used if n_bytes is not None]
    if not known:
        return 0.0
    # The first value is that of the loaded model.
    return max(known) - known[0] - _CACHE_SHARE * max(0, own_growth_bytes)


def _excesses_w(
    samples: Sequence[Sample], loaded_idles: Sequence[IdleSpan], span: Span
) -> Iterator[tuple[str, float]]:
    """Yield each end of the window at which the GPU drew too much, and by how many watts."""
    means_w = [statistics.fmean(powers) for i in loaded_idles if (powers := _powers(samples, i))]
    if not means_w:
        return
    # The largest: idle power that changed from one to the other is a reason of its own.
    idle_w = max(means_w)
    idle_mhz = _clock_mhz(s for idle in loaded_idles for s in _inside(samples, idle))
    guards = {
        "before": IdleSpan(span.start_s - span.guard_s, span.start_s),
        "after": IdleSpan(span.end_s, span.end_s + span.guard_s),
    }
    for place, guard in guards.items():
        rested_w = _rested_w(_powers(samples, guard))
        if rested_w is None or rested_w - idle_w <= max(_MAX_EXCESS * idle_w, _MAX_EXCESS_W):
            continue
        near = IdleSpan(guard.start_s - _NEAR_S, guard.end_s)
        guard_mhz = _clock_mhz(_inside(samples, near))
        if idle_mhz is None or guard_mhz is None or idle_mhz >= _SAME_CLOCK * guard_mhz:
            yield place, rested_w - idle_w


def _rise_w(samples: Iterable[Sample]) -> float:
    """Return by how much power rose within an idle phase; 0 if it did not rise by more than usual.

    Power that falls is that of a board that comes to rest, and power that rises with the clock is that
    of a board that runs faster. So power is compared with that at clocks that were not much lower.
    """
    readings = list(samples)
    powers = [(s.t_s, s.power_w) for s in readings if s.power_w is not None]
    updates = [each for i, each in enumerate(powers) if i == 0 or each[1] != powers[i - 1][1]]
    clocks = [(s.t_s, s.sm_clock_mhz) for s in readings if s.sm_clock_mhz is not None]
    times_s = [t_s for t_s, _ in clocks]
    lowest_w: dict[float, float] = {}  # by the clock; 0 if it is not reported
    rise_w = 0.0
    for i in range(_RISE_UPDATES, len(updates) + 1):
        part = updates[i - _RISE_UPDATES : i]
        # A clock is read less often than power, so those just before and after the part count too.
        first = max(0, bisect_right(times_s, part[0][0]) - 1)
        mhz = [clock for _, clock in clocks[first : bisect_left(times_s, part[-1][0]) + 1]]
        fastest = max(mhz, default=0.0)
        if mhz and min(mhz) < _SAME_CLOCK * fastest:
            continue  # it cannot be told which power belongs to which clock
        steady_w = statistics.median(power_w for _, power_w in part)
        lowest_w[fastest] = min(steady_w, lowest_w.get(fastest, math.inf))
        base_w = min(w for clock, w in lowest_w.items() if clock >= _SAME_CLOCK * fastest)
        if steady_w - base_w > max(_MAX_RISE * base_w, _MAX_RISE_W):
            rise_w = max(rise_w, steady_w - base_w)
    return rise_w


def _rested_w(powers_w: Sequence[float]) -> float | None:
    """Return the last power of a guard; None if it is unknown or was still falling.

    The first value may be from before the guard, so one alone says nothing.
    """
    updates = [w for i, w in enumerate(powers_w) if i == 0 or w != powers_w[i - 1]]
    if len(updates) < 2 or updates[-1] < _FALLING * updates[-2]:
        return None
    return updates[-1]


def _inside(samples: Iterable[Sample], span: IdleSpan) -> list[Sample]:
    return [sample for sample in samples if span.start_s <= sample.t_s <= span.end_s]


def _powers(samples: Iterable[Sample], span: IdleSpan) -> list[float]:
    return [s.power_w for s in _inside(samples, span) if s.power_w is not None]


def _clock_mhz(samples: Iterable[Sample]) -> float | None:
    clocks = [s.sm_clock_mhz for s in samples if s.sm_clock_mhz is not None]
    return statistics.median(clocks) if clocks else None
