"""How much the power would still have changed when a warm-up ended.

A device that becomes warmer draws more power, and approaches its final power exponentially, with the time
constant of its cooler. A small slope alone does not say how much is to come: that is the slope times the
time constant, which the whole warm-up shows.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from llem_energy._sources.protocol import Sample

MAX_LEFT_SHARE = 0.01
_SETTLING_S = 5.0  # the driver averages power, and caches fill, in the first seconds of load
_MIN_BIN_S = 1.0
_MIN_BINS = 8
_MIN_TAU_S, _MAX_TAU_S, _N_TAUS = 5.0, 300.0, 24  # a chip alone, and a large cooler
_MIN_PROBABILITY = 0.99  # that more than `MAX_LEFT_SHARE` is to come, in a direction
_MAX_CORRELATION = 0.9
_NORMAL = statistics.NormalDist()


class PowerLeft(NamedTuple):
    """The change of power that is still to come, as a share of the power at the end."""

    share: float | None
    """Positive if the power rises. None if it cannot be told."""
    reason: str | None = None
    """Why it cannot be told."""

    @property
    def is_large(self) -> bool:
        """Return whether more is to come than a comparison of points can bear."""
        return self.share is not None and abs(self.share) > MAX_LEFT_SHARE


class _Fit(NamedTuple):
    """An exponential of one time constant."""

    left: float
    """Change still to come, in units of the values."""
    variance: float
    """Of `left`, if the residuals of neighbouring bins were independent."""
    end: float
    """Value at the end."""
    residuals: list[float]

    @property
    def error_sum(self) -> float:
        return math.fsum(r * r for r in self.residuals)


def power_left(
    samples: Iterable[Sample], start_s: float, end_s: float, period_s: float
) -> PowerLeft:
    """Estimate the change of power that is still to come at the end of repeated work.

    An exponential is fitted for each of many time constants. The estimate is their mean, each with
    the likelihood of its fit as its weight, so that its error includes that of the time constant.

    Args:
        samples: of all devices, on one clock.
        start_s: when the repeats began.
        end_s: when they ended.
        period_s: duration of one repeat. Power is averaged over whole repeats, because it differs
            between the parts of one.
    """
    points = _bins(samples, start_s + _SETTLING_S, end_s, period_s)
    if not points:
        return PowerLeft(None, "no power was read during the warm-up")
    if len(points) < _MIN_BINS:
        seconds = max(0.0, end_s - start_s - _SETTLING_S)
        return PowerLeft(
            None,
            f"the warm-up was too short to see how much power is still to come: {seconds:.0f} s of "
            f"steady load in {len(points)} means, at least {_MIN_BINS} are needed",
        )
    step = (_MAX_TAU_S / _MIN_TAU_S) ** (1 / (_N_TAUS - 1))
    fits = [_fit(points, end_s, _MIN_TAU_S * step**i) for i in range(_N_TAUS)]
    best = min(fits, key=lambda fit: fit.error_sum)
    if best.end <= 0:
        return PowerLeft(None, "the power that was read is not positive")
    if best.error_sum <= 1e-18 * len(points) * best.end**2:
        return PowerLeft(best.left / best.end)
    # Each of several bins that vary together is less than one observation.
    correlation = min(max(_lag1(best.residuals), 0.0), _MAX_CORRELATION)
    inflation = (1 + correlation) / (1 - correlation)
    n = len(points) / inflation
    weights = [(best.error_sum / fit.error_sum) ** (n / 2) for fit in fits]
    total = math.fsum(weights)
    left = math.fsum(w * fit.left for w, fit in zip(weights, fits, strict=True)) / total
    spread = math.fsum(
        w * (inflation * fit.variance + (fit.left - left) ** 2)
        for w, fit in zip(weights, fits, strict=True)
    )
    share, error = left / best.end, math.sqrt(spread / total) / best.end
    sign = math.copysign(1.0, left)
    limit = MAX_LEFT_SHARE * best.end
    probability = math.fsum(
        w * _NORMAL.cdf((sign * fit.left - limit) / math.sqrt(inflation * fit.variance))
        for w, fit in zip(weights, fits, strict=True)
    )
    if probability / total >= _MIN_PROBABILITY:
        return PowerLeft(share)
    if abs(share) + error > MAX_LEFT_SHARE:
        return PowerLeft(
            None,
            f"the power varied too much to see how much is still to come: {share:+.1%}, with a "
            f"standard error of {error:.1%}",
        )
    return PowerLeft(share)


def _bins(
    samples: Iterable[Sample], start_s: float, end_s: float, period_s: float
) -> list[tuple[float, float]]:
    """Return the mean power of all devices together over whole repeats, with the middle of each."""
    width_s = max(1, math.ceil(_MIN_BIN_S / period_s)) * period_s if period_s > 0 else _MIN_BIN_S
    n_bins = int((end_s - start_s) / width_s)
    first_s = end_s - n_bins * width_s  # the end counts most
    by_device: dict[str, list[list[float]]] = {}
    for sample in samples:
        place = math.floor((sample.t_s - first_s) / width_s)
        if sample.power_w is not None and 0 <= place < n_bins:
            bins = by_device.setdefault(sample.device, [[] for _ in range(n_bins)])
            bins[place].append(sample.power_w)
    if not by_device:
        return []
    return [
        (first_s + (place + 0.5) * width_s, math.fsum(map(statistics.fmean, of_devices)))
        for place, of_devices in enumerate(zip(*by_device.values(), strict=True))
        if all(of_devices)
    ]


def _fit(points: Sequence[tuple[float, float]], end_s: float, tau_s: float) -> _Fit:
    """Fit c + b exp(-t / tau) by least squares."""
    first_s = points[0][0]
    curve = [math.exp(-(t - first_s) / tau_s) for t, _ in points]
    values = [value for _, value in points]
    at_end = math.exp(-(end_s - first_s) / tau_s)
    middle, mean = statistics.fmean(curve), statistics.fmean(values)
    squares = math.fsum((x - middle) ** 2 for x in curve)
    slope = math.fsum((x - middle) * y for x, y in zip(curve, values, strict=True)) / squares
    residuals = [y - mean - slope * (x - middle) for x, y in zip(curve, values, strict=True)]
    noise = math.fsum(r * r for r in residuals) / (len(points) - 3)  # level, slope, time constant
    return _Fit(
        left=-slope * at_end,
        variance=noise / squares * at_end**2,
        end=mean + slope * (at_end - middle),
        residuals=residuals,
    )


def _lag1(residuals: Sequence[float]) -> float:
    """Return the correlation of neighbouring residuals."""
    square = math.fsum(r * r for r in residuals)
    return math.fsum(a * b for a, b in pairwise(residuals)) / square if square else 0.0
