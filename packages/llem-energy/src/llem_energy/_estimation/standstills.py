"""How long a counter is usually not updated, and when it was not for longer than that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llem_energy._estimation.counter import (
    Reading,
    loaded_period_s,
    longest_standstill_s,
    still_after_s,
)
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.span import Span
from llem_energy._sources.protocol import Sample

_STALLED_PERIODS = 5.0


def standstills(
    readings: Sequence[Reading],
    span: Span,
    calibration: Calibration | None,
    samples: Sequence[Sample],
) -> Iterator[str]:
    """Report a counter that was not updated in the window, or does not count in the idle time after it.

    It was calibrated in idle; under load it may be slower, or its updates less regular.
    """
    period_s = calibration.counter_period_s if calibration else None
    loaded_s = loaded_period_s(readings, span.start_s, span.end_s)
    if not _drew_power(samples) or not (period_s or loaded_s):
        return
    jitter_s = (calibration.counter_jitter_s if calibration else None) or 0.0
    usual_s = max((period_s or 0.0) + jitter_s, loaded_s or 0.0)
    still_s = longest_standstill_s(readings, span.start_s, span.end_s)
    if period_s is not None and still_s > _STALLED_PERIODS * usual_s:
        yield (
            f"the energy counter was not updated for {still_s:.2g} s in the window "
            f"(its period is {period_s:.2g} s)"
        )
    after_s = still_after_s(readings, span.end_s)
    if span.guard_s and loaded_s and after_s > _STALLED_PERIODS * usual_s:
        yield (
            f"the energy counter was not updated for {after_s:.2g} s in the idle time after the "
            "window: it does not count in idle, so idle power could not be subtracted"
        )


def longest_period_s(
    readings: Sequence[Reading], span: Span, calibration: Calibration | None
) -> float | None:
    """Return the longest usual time between two updates of a counter, in idle or under load."""
    if calibration is None or calibration.counter_period_s is None:
        return None
    idle_s = calibration.counter_period_s + (calibration.counter_jitter_s or 0.0)
    return max(idle_s, loaded_period_s(readings, span.start_s, span.end_s) or 0.0)


def _powers(samples: Sequence[Sample]) -> list[float]:
    return [p for s in samples for p in (s.power_w, s.power_average_w) if p is not None]


def _drew_power(samples: Sequence[Sample]) -> bool:
    powers = _powers(samples)
    return not powers or max(powers) > 0
