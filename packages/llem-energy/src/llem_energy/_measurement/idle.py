"""Idle phases: wait until power is steady, then idle for a while; when to reuse idle power."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from llem_energy._metering.calibration import Calibration
from llem_energy._result.measurement_figures import ContextIdle
from llem_energy._sources.protocol import Sample

_MAX_WAIT_S = 10.0
_CHECK_EVERY_S = 0.25
_HALF_S = 1.0
_STEADY = 0.02  # maximum change of mean power from one second to the next
_MAX_CHANGE_C = 3.0
_MAX_AGE_S = 900.0


class IdleSpan(msgspec.Struct, frozen=True):
    """When the devices idled, on the clock of the samples."""

    start_s: float
    """Seconds."""
    end_s: float
    """Seconds."""
    is_steady: bool = True
    """Whether power was steady when it began."""


class Idles(msgspec.Struct, frozen=True, kw_only=True):
    """When the devices idled; None if they did not."""

    context: IdleSpan | None = None
    """With a context on the devices, and no model."""
    reused: ContextIdle | None = None
    """Taken instead of `context`."""
    before: IdleSpan | None = None
    """With the model loaded, before the window."""
    after: IdleSpan | None = None
    """With the model loaded, after the window."""


def idle(
    seconds: float,
    recent: Callable[[], Iterable[Sample]],
    *,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
) -> IdleSpan:
    """Wait until power is steady, then idle for some seconds; return the span of these seconds.

    Args:
        seconds: how long to idle.
        recent: returns the newest samples of all devices.
        clock: seconds on the clock of the samples; `sleep` must advance it.
        sleep: waits.
    """
    begin_s = clock()
    deadline_s = begin_s + _MAX_WAIT_S
    while not (is_steady := _steady(recent(), begin_s, clock())) and clock() < deadline_s:
        sleep(_CHECK_EVERY_S)
    start_s = clock()
    sleep(seconds)
    return IdleSpan(start_s, clock(), is_steady)


def _steady(samples: Iterable[Sample], since_s: float, now_s: float) -> bool:
    """Return whether each device drew the same power in the last second as in the one before.

    Only samples after `since_s` count, since power may also be steady while the device works.
    """
    halves: dict[str, tuple[list[float], list[float]]] = {}
    for sample in samples:
        age_s = now_s - sample.t_s
        if sample.power_w is None or age_s > 2 * _HALF_S:
            continue
        before_after = halves.setdefault(sample.device, ([], []))
        if sample.t_s >= since_s:
            before_after[age_s < _HALF_S].append(sample.power_w)
    for before, after in halves.values():
        if not before or not after:
            return False
        change_w = abs(statistics.fmean(after) - statistics.fmean(before))
        if change_w > max(_STEADY * statistics.fmean(after), _noise(before, after)):
            return False
    return True


def _noise(*halves: Sequence[float]) -> float:
    """Return twice the standard error of the difference of two means."""
    variances = [statistics.variance(h) / len(h) for h in halves if len(h) > 1]
    return 2 * math.sqrt(sum(variances))


def context_of(
    devices: Sequence[str], power_w: float, at_s: float, recent: Iterable[Sample], boot: str | None
) -> ContextIdle:
    """Return an idle power with the conditions for using it again."""
    return ContextIdle(
        devices=tuple(devices),
        power_w=power_w,
        temperature_c=temperatures(recent),
        at_s=at_s,
        boot_id=boot,
    )


def reusable(
    earlier: ContextIdle | None,
    devices: Sequence[str],
    recent: Iterable[Sample],
    calibration: Sequence[Calibration],
) -> bool:
    """Return whether the idle power of an earlier run is still valid.

    It is valid for the same devices in the same boot, for a limited time, and at the same
    temperature, since leakage depends on temperature. A device must report its temperature.
    """
    if earlier is None or earlier.devices != tuple(devices) or earlier.boot_id is None:
        return False
    if not calibration or any(each.boot_id != earlier.boot_id for each in calibration):
        return False
    if not 0 <= time.perf_counter() - earlier.at_s <= _MAX_AGE_S:
        return False
    now_c, before_c = temperatures(recent), earlier.temperature_c
    return all(
        device in now_c
        and device in before_c
        and abs(now_c[device] - before_c[device]) <= _MAX_CHANGE_C
        for device in devices
    )


def temperatures(samples: Iterable[Sample]) -> dict[str, float]:
    """Return the newest temperature of each device that reports it."""
    return {s.device: s.temperature_c for s in samples if s.temperature_c is not None}
