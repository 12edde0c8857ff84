"""Warm-up until compilation is over, latency is stationary, and power and temperature are steady.

A fixed number of repeats is not enough: a drift of 3 % between two points can rank them wrongly.
The warm-up has a maximum duration; the result says so if that is reached.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from llem_config import WarmupConfig
from llem_energy._backends.protocol import Batch
from llem_energy._measurement.power_left import PowerLeft, power_left
from llem_energy._result.measurement_figures import WarmUpReport
from llem_energy._sources.protocol import Sample

# Passes over all shapes if code is compiled. A second shape recompiles the code of the first for
# any length; code that is still compiled after several passes is compiled in every pass.
_COMPILED_PASSES, _MAX_PASSES = 3, 8
_STEADY_REPEATS = 5  # repeats over which latency must be stationary
_MIN_TRAIL_S, _MAX_TRAIL_S = 10.0, 60.0  # time over which power and temperature are examined
_CHECK_EVERY_S = 1.0
_MAX_SLOPE_ERROR = 0.05  # share per minute; with a larger error a drift would not be visible
_MAX_POWER_SLOPE = 0.01  # share of the mean per minute; a starting value, not tuned on hardware
_MAX_TEMPERATURE_SLOPE_C = 0.5  # per minute; likewise
_RESOLUTION_C = 1.0  # sensors report whole degrees


class WarmUp(msgspec.Struct, frozen=True):
    """The outcome of a warm-up."""

    report: WarmUpReport
    converged: bool | None
    """None if convergence was not checked."""
    problem: str | None = None
    """What was not steady when the maximum duration was reached."""


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
        config: the options of the warm-up.
        batches: at least one of each shape of the window; the first one is repeated.
        timed: processes one batch and returns the seconds it took.
        recent: returns the newest samples of all devices; none if nothing is metered.
        compilations: returns how often the backend has compiled code so far.
        clock: monotonic seconds, the clock of the samples.
    """
    if not config.enabled:
        return WarmUp(WarmUpReport(n_repeats=0, duration_s=0.0, latency_cv=None), None)
    start_s = clock()
    is_compiling = not _each_shape(batches, timed, compilations, config.max_warmup_seconds, clock)
    latencies: list[float] = []
    repeats_s, checked_s, drift = clock(), start_s, None

    def report() -> WarmUpReport:
        left = power_left(recent(), repeats_s, clock(), statistics.median(latencies))
        return _report(latencies, elapsed_s, drift or _Drift(), left)

    while True:
        latencies.append(timed(batches[0]))
        elapsed_s = clock() - start_s
        if len(latencies) < config.n_warmup or elapsed_s < config.thermal_floor_seconds:
            continue
        # Rarely, since the device idles during the check.
        if drift is None or clock() - checked_s >= _CHECK_EVERY_S:
            checked_s, drift = clock(), _drift(recent(), start_s, clock())
        if not config.convergence_detection:
            return WarmUp(report(), None)
        is_stationary = _stationary(latencies, config.cv_threshold)
        problem = _problem(config, drift, is_stationary=is_stationary)
        too_many = not is_stationary and len(latencies) >= config.max_warmup
        if problem is None or too_many or elapsed_s > config.max_warmup_seconds:
            if problem is None and is_compiling:
                problem = "code was still compiled"
            return WarmUp(report(), problem is None, problem)


def _problem(config: WarmupConfig, drift: _Drift, *, is_stationary: bool) -> str | None:
    """Return what is not steady; None if all is."""
    if not is_stationary:
        return f"the latency was not stationary (cv_threshold {config.cv_threshold:g})"
    return drift.problem


def _each_shape(
    batches: Sequence[Batch],
    timed: Callable[[Batch], float],
    compilations: Callable[[], int | None],
    max_s: float,
    clock: Callable[[], float],
) -> bool:
    """Process each shape, so that one-time work per shape is not measured in the window.

    One pass chooses kernels and allocates memory for each shape. If code is compiled, passes are
    repeated until nothing is compiled: a second shape may recompile the code of the first, and a
    graph is recorded in the second run of a shape and replayed from the third.

    Returns:
        Whether compilation has stopped. After the first pass, no pass begins later than `max_s`.
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
    """Change of power and temperature per minute over the last seconds."""

    power_share: float | None = None
    temperature_c: float | None = None
    problem: str | None = None


def _drift(samples: Iterable[Sample], start_s: float, now_s: float) -> _Drift:
    """Return the drift of the worst device over the shortest trail that can show a drift."""
    sampled = list(samples)
    trail_s = _MIN_TRAIL_S
    while True:
        drift, is_clear = _trail(sampled, max(start_s, now_s - trail_s))
        if is_clear or trail_s >= min(now_s - start_s, _MAX_TRAIL_S):
            break
        trail_s *= 2
    if drift.power_share is None:
        return drift  # no power is metered
    if now_s - start_s < _MIN_TRAIL_S:
        short = f"power was observed for only {now_s - start_s:.0f} of {_MIN_TRAIL_S:.0f} s"
        return msgspec.structs.replace(drift, problem=short)
    if not is_clear and trail_s < _MAX_TRAIL_S:
        unclear = "power varied too much to see whether it drifts"
        return msgspec.structs.replace(drift, problem=unclear)
    return drift


def _trail(samples: Sequence[Sample], since_s: float) -> tuple[_Drift, bool]:
    """Return the drift since an instant, and whether it is accurate enough to see a drift."""
    by_device: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.t_s >= since_s:
            by_device.setdefault(sample.device, []).append(sample)
    power = max(
        _slopes([(s.t_s, s.power_w) for s in device] for device in by_device.values()),
        key=lambda slope: abs(slope.share_per_min),
        default=None,
    )
    heat = max(
        _slopes([(s.t_s, s.temperature_c) for s in device] for device in by_device.values()),
        key=lambda slope: abs(slope.per_min),
        default=None,
    )
    temperature_c = heat.per_min if heat else None
    if power is None:
        return _Drift(None, temperature_c), True
    problem = None
    if abs(power.share_per_min) - power.error_share > _MAX_POWER_SLOPE:
        problem = f"power still changed by {power.share_per_min:+.1%} per minute"
    elif heat and abs(heat.per_min) > _MAX_TEMPERATURE_SLOPE_C + 60 * _RESOLUTION_C / heat.length_s:
        problem = f"temperature still changed by {heat.per_min:+.1f} C per minute"
    drift = _Drift(power.share_per_min, temperature_c, problem)
    return drift, power.error_share <= _MAX_SLOPE_ERROR


class _Slope(msgspec.Struct, frozen=True):
    """A straight line fitted to a series of values."""

    mean: float
    per_min: float
    error_per_min: float
    """Twice its standard error: a smaller slope cannot be distinguished from none."""
    length_s: float

    @property
    def share_per_min(self) -> float:
        return self.per_min / self.mean if self.mean else 0.0

    @property
    def error_share(self) -> float:
        return self.error_per_min / self.mean if self.mean else 0.0


def _slopes(series: Iterable[Sequence[tuple[float, float | None]]]) -> Iterator[_Slope]:
    """Yield the slope of each series that has one."""
    for points in series:
        slope = _slope([(t_s, value) for t_s, value in points if value is not None])
        if slope is not None:
            yield slope


def _slope(points: Sequence[tuple[float, float]]) -> _Slope | None:
    if len(points) < 3:
        return None
    times, values = [t for t, _ in points], [v for _, v in points]
    if times[0] == times[-1]:
        return None
    slope, intercept = statistics.linear_regression(times, values)
    residuals = [v - (slope * t + intercept) for t, v in points]
    middle = statistics.fmean(times)
    spread = sum((t - middle) ** 2 for t in times)
    error = math.sqrt(sum(r * r for r in residuals) / (len(points) - 2) / spread)
    return _Slope(statistics.fmean(values), 60 * slope, 60 * 2 * error, times[-1] - times[0])


def _report(
    latencies: Sequence[float], elapsed_s: float, drift: _Drift, left: PowerLeft
) -> WarmUpReport:
    return WarmUpReport(
        n_repeats=len(latencies),
        duration_s=elapsed_s,
        latency_cv=_variation(latencies[-_STEADY_REPEATS:]),
        power_slope_per_min=drift.power_share,
        temperature_slope_c_per_min=drift.temperature_c,
        power_left_share=left.share,
        power_left_reason=left.reason,
    )


def _variation(latencies: Sequence[float]) -> float | None:
    if len(latencies) < 2:
        return None
    return statistics.stdev(latencies) / statistics.mean(latencies)


def _stationary(latencies: Sequence[float], threshold: float) -> bool:
    last = latencies[-_STEADY_REPEATS:]
    variation = _variation(last)
    return len(last) == _STEADY_REPEATS and variation is not None and variation < threshold
