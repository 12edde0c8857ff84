"""Warming up until the work is steady: its latency and, where it is metered, power and temperature.

A count is not enough: a drift of 3 % between two points is enough for a false ranking. The cap on
time bounds what this costs; reaching it is said in the result.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from llem_config import WarmupConfig
from llem_energy._backends.protocol import Batch
from llem_energy._result.measurement_figures import WarmUpReport
from llem_energy._sources.protocol import Sample

# Over all shapes, where code is compiled. A second shape compiles what the first has compiled anew,
# for any length; what is compiled after several passes is compiled in each.
_COMPILED_PASSES, _MAX_PASSES = 3, 8
_STEADY_REPEATS = 5  # over which latency has to be stationary
_TRAIL_S, _LONGEST_TRAIL_S = 10.0, 60.0  # over which power and temperature are looked at
_LOOK_EVERY_S = 1.0
_CLEAR_SLOPE = 0.05  # error of a slope, a minute, up to which a drift would have been seen
_POWER_SLOPE = 0.01  # of the mean, a minute; a starting value, not yet tuned on hardware
_TEMPERATURE_SLOPE_C = 0.5  # a minute; likewise
_RESOLUTION_C = 1.0  # sensors show whole degrees


class WarmUp(msgspec.Struct, frozen=True):
    """How the warm-up went."""

    report: WarmUpReport
    converged: bool | None
    """None where it was not looked for."""
    problem: str | None = None
    """What was not steady when the cap was reached."""


def warm_up(
    config: WarmupConfig,
    batches: Sequence[Batch],
    timed: Callable[[Batch], float],
    recent: Callable[[], Iterable[Sample]],
    *,
    compilations: Callable[[], int | None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> WarmUp:
    """Repeat real work until it is steady.

    Args:
        config: what is asked for.
        batches: of one pass over the data set.
        timed: answers one of them and returns the seconds that it took.
        recent: gives the newest samples of all devices; none where nothing is metered.
        compilations: how often the backend has compiled anything so far.
        clock: monotonic seconds, the clock of the samples.
    """
    if not config.enabled:
        return WarmUp(WarmUpReport(n_repeats=0, duration_s=0.0, latency_cv=None), None)
    start_s = clock()
    is_compiling = not _each_shape(batches, timed, compilations, config.max_warmup_seconds, clock)
    latencies: list[float] = []
    looked_s, drift = start_s, None
    while True:
        latencies.append(timed(batches[0]))
        elapsed_s = clock() - start_s
        if len(latencies) < config.n_warmup or elapsed_s < config.thermal_floor_seconds:
            continue
        # Seldom: while we look, the device idles.
        if drift is None or clock() - looked_s >= _LOOK_EVERY_S:
            looked_s, drift = clock(), _drift(recent(), start_s, clock())
        if not config.convergence_detection:
            return WarmUp(_report(latencies, elapsed_s, drift), None)
        uneven = not _stationary(latencies, config.cv_threshold)
        problem = f"the latency was not stationary (cv_threshold {config.cv_threshold:g})"
        if not uneven:
            problem = drift.problem or ""
        if is_compiling and not problem:
            return WarmUp(_report(latencies, elapsed_s, drift), False, "code was still compiled")
        if not problem:
            return WarmUp(_report(latencies, elapsed_s, drift), True)
        too_many = uneven and len(latencies) >= config.max_warmup
        if too_many or elapsed_s > config.max_warmup_seconds:
            return WarmUp(_report(latencies, elapsed_s, drift), False, problem)


def _each_shape(
    batches: Sequence[Batch],
    timed: Callable[[Batch], float],
    compilations: Callable[[], int | None],
    max_s: float,
    clock: Callable[[], float],
) -> bool:
    """Answer each shape before anything else: what comes first in the window would be measured.

    Once, for kernels that are chosen and memory that is taken for a shape. Where code is compiled,
    until that stops: a second shape may have the first compiled anew, and a graph of a shape is
    recorded when it runs for the second time and is played back from the third.

    Returns:
        Whether compilation has stopped. The passes after the first, which has to be, end after
        `max_s`.
    """
    shapes = list({batch.shape: batch for batch in batches}.values())
    for batch in shapes:
        timed(batch)
    if not compilations():
        return True
    start_s, has_stopped = clock(), False
    for n_passes in range(2, _MAX_PASSES + 1):
        before = compilations()
        for batch in shapes:
            timed(batch)
        has_stopped = compilations() == before
        if (has_stopped and n_passes >= _COMPILED_PASSES) or clock() - start_s > max_s:
            break
    return has_stopped


class _Drift(msgspec.Struct, frozen=True):
    """How power and temperature changed over the last seconds, a minute."""

    power_share: float | None = None
    temperature_c: float | None = None
    problem: str | None = None


def _drift(samples: Iterable[Sample], start_s: float, now_s: float) -> _Drift:
    """Look at the shortest trail that is long enough to tell a drift; the worst device counts."""
    known = list(samples)
    trail_s = _TRAIL_S
    while True:
        drift, is_clear = _trail(known, max(start_s, now_s - trail_s))
        if is_clear or trail_s >= min(now_s - start_s, _LONGEST_TRAIL_S):
            break
        trail_s *= 2
    if drift.power_share is None:
        return drift  # nothing that could drift is metered
    if now_s - start_s < _TRAIL_S:
        watched = f"power was watched for {now_s - start_s:.0f} of {_TRAIL_S:.0f} s only"
        return msgspec.structs.replace(drift, problem=watched)
    if not is_clear and trail_s < _LONGEST_TRAIL_S:
        unclear = "power went up and down too much to tell a drift"
        return msgspec.structs.replace(drift, problem=unclear)
    return drift


def _trail(samples: Sequence[Sample], since_s: float) -> tuple[_Drift, bool]:
    """Return the drift since an instant, and whether a drift would have been seen."""
    by_device: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.t_s >= since_s:
            by_device.setdefault(sample.device, []).append(sample)
    powers = [_slope([(s.t_s, s.power_w) for s in one]) for one in by_device.values()]
    heats = [_slope([(s.t_s, s.temperature_c) for s in one]) for one in by_device.values()]
    power = max((p for p in powers if p), key=lambda p: abs(p.share_per_min), default=None)
    heat = max((h for h in heats if h), key=lambda h: abs(h.per_min), default=None)
    temperature_c = heat.per_min if heat else None
    if power is None:
        return _Drift(None, temperature_c), True
    problem = None
    if abs(power.share_per_min) - power.error_share > _POWER_SLOPE:
        problem = f"power still changed by {power.share_per_min:+.1%} a minute"
    elif heat and abs(heat.per_min) > _TEMPERATURE_SLOPE_C + 60 * _RESOLUTION_C / heat.length_s:
        problem = f"temperature still changed by {heat.per_min:+.1f} C a minute"
    drift = _Drift(power.share_per_min, temperature_c, problem)
    return drift, power.error_share <= _CLEAR_SLOPE


class _Slope(msgspec.Struct, frozen=True):
    """A straight line through a trail of values."""

    mean: float
    per_min: float
    error_per_min: float
    """Twice its standard error: a smaller slope cannot be told from none."""
    length_s: float

    @property
    def share_per_min(self) -> float:
        return self.per_min / self.mean if self.mean else 0.0

    @property
    def error_share(self) -> float:
        return self.error_per_min / self.mean if self.mean else 0.0


def _slope(points: Sequence[tuple[float, float | None]]) -> _Slope | None:
    known = [(t_s, value) for t_s, value in points if value is not None]
    if len(known) < 3:
        return None
    times, values = [t for t, _ in known], [v for _, v in known]
    if times[0] == times[-1]:
        return None
    slope, intercept = statistics.linear_regression(times, values)
    rest = [v - (slope * t + intercept) for t, v in known]
    middle = statistics.fmean(times)
    spread = sum((t - middle) ** 2 for t in times)
    error = math.sqrt(sum(r * r for r in rest) / (len(known) - 2) / spread)
    return _Slope(statistics.fmean(values), 60 * slope, 60 * 2 * error, times[-1] - times[0])


def _report(latencies: Sequence[float], elapsed_s: float, drift: _Drift) -> WarmUpReport:
    return WarmUpReport(
        n_repeats=len(latencies),
        duration_s=elapsed_s,
        latency_cv=_variation(latencies[-_STEADY_REPEATS:]),
        power_slope_per_min=drift.power_share,
        temperature_slope_c_per_min=drift.temperature_c,
    )


def _variation(latencies: Sequence[float]) -> float | None:
    if len(latencies) < 2:
        return None
    return statistics.stdev(latencies) / statistics.mean(latencies)


def _stationary(latencies: Sequence[float], threshold: float) -> bool:
    last = latencies[-_STEADY_REPEATS:]
    variation = _variation(last)
    return len(last) == _STEADY_REPEATS and variation is not None and variation < threshold
