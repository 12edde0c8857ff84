"""How far the clock of a meter is ahead of that of the machine: where the two powers fit best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from llem_energy._errors import MeasurementError
from llem_energy._gain.board_run import BoardRun
from llem_energy._gain.energy_curve import EnergyCurve
from llem_energy._gain.meter_log import MeterLog

_MAX_BINS, _MAX_COARSE_BINS = 20_000, 1_500
_MIN_PAIRS, _MIN_SHARE = 10, 0.6
"""Bins in common, and their share of all; a small part may fit by chance."""
_MIN_CORRELATION = 0.9
"""At the true lag, the board explains most changes of a node's power: r^2 is above 0.81."""
_HALF_HOURS = 28  # the largest difference from UTC is 14 h
_AMBIGUOUS = 0.003  # two peaks whose correlations differ by less cannot be told apart
_FINE_STEPS = 10  # per bin

_Bins = dict[int, float]


class Lag(NamedTuple):
    """The meter's clock minus the clock of the machine."""

    lag_s: float
    """Seconds; positive if the clock of the meter is ahead."""
    correlation: float
    """Of the two series of power at this lag, from -1 to 1."""
    bin_s: float
    """Width of the intervals over which power was averaged."""
    drift_s: float | None
    """The lag of the second half of the runs minus that of the first; None if a half is too short."""


def find_lag(log: MeterLog, runs: Sequence[BoardRun], max_lag_s: float) -> Lag:
    """Return the lag with the highest correlation.

    Args:
        log: of the meter.
        runs: n >= 1, on the clock of the machine.
        max_lag_s: largest lag in either direction.

    Raises:
        MeasurementError: log and runs do not overlap or do not fit; the times are those of another
            time zone; two lags fit equally well; or the clock of the meter drifts.
    """
    bin_s = _bin_width_s(log, runs, _MAX_BINS)
    board = _board_bins(runs, bin_s)
    meter = _meter_bins(log.curve, bin_s, board, max_lag_s)
    n_shifts = math.ceil(max_lag_s / bin_s)
    found = {
        shift: r
        for shift in range(-n_shifts, n_shifts + 1)
        if (r := _correlation(board, meter, shift)) is not None
    }
    best = max(found, key=lambda shift: found[shift], default=None)
    if best is None or found[best] < _MIN_CORRELATION:
        raise _no_lag(log, runs, max_lag_s, found[best] if best is not None else None)
    if abs(best) == n_shifts:
        raise MeasurementError(
            f"the clock of the meter differs by {max_lag_s:g} s or more; give a larger --max-lag, or "
            "--shift"
        )
    _check_single_peak(found, best, bin_s)
    lag_s, correlation = _refined(log.curve, runs, bin_s, best)
    drift_s = _drift_s(log.curve, runs, bin_s, best)
    tolerance_s = bin_s  # at least this is cut from both ends of each window
    if drift_s is not None and abs(drift_s) > tolerance_s:
        raise MeasurementError(
            f"the clock of the meter drifts: its lag changes by {drift_s:+.1f} s from the first half "
            f"of the runs to the second; expected at most {tolerance_s:g} s; synchronise it (NTP) "
            "and measure again, or give fewer studies"
        )
    return Lag(lag_s, correlation, bin_s, drift_s)


def _bin_width_s(log: MeterLog, runs: Sequence[BoardRun], max_bins: int) -> float:
    total_s = sum(run.curve.end_s - run.curve.start_s for run in runs)
    return max(log.period_s, 0.5, total_s / max_bins)


def _board_bins(runs: Sequence[BoardRun], bin_s: float) -> _Bins:
    """Return the mean power of the board in bins [k, k + 1) x bin_s that a run covers completely."""
    bins: _Bins = {}
    for run in runs:
        for k in range(math.ceil(run.curve.start_s / bin_s), math.floor(run.curve.end_s / bin_s)):
            power_w = run.curve.mean_w(k * bin_s, (k + 1) * bin_s)
            if power_w is not None:
                bins[k] = power_w
    return bins


def _meter_bins(curve: EnergyCurve, bin_s: float, board: _Bins, around_s: float) -> _Bins:
    """Return the mean power at the meter in all bins that a lag can move to one of the board."""
    around = math.ceil(around_s / bin_s) + 1
    wanted: set[int] = set()
    for k in board:
        if k - 1 in board:
            wanted.add(k + around)
        else:
            wanted.update(range(k - around, k + around + 1))
    means = ((k, curve.mean_w(k * bin_s, (k + 1) * bin_s)) for k in wanted)
    return {k: power_w for k, power_w in means if power_w is not None}


def _correlation(board: _Bins, meter: _Bins, shift: int) -> float | None:
    pairs = [(w, meter[k + shift]) for k, w in board.items() if k + shift in meter]
    return _pearson(pairs) if len(pairs) >= max(_MIN_PAIRS, _MIN_SHARE * len(board)) else None


def _pearson(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return the correlation of pairs; None if one side is constant."""
    n = len(pairs)
    mean_x, mean_y = sum(x for x, _ in pairs) / n, sum(y for _, y in pairs) / n
    sxx = sum((x - mean_x) ** 2 for x, _ in pairs)
    syy = sum((y - mean_y) ** 2 for _, y in pairs)
    if sxx <= 1e-9 * n * mean_x**2 or syy <= 1e-12 * n * mean_y**2:
        return None
    return float(sum((x - mean_x) * (y - mean_y) for x, y in pairs) / math.sqrt(sxx * syy))


def _check_single_peak(found: dict[int, float], best: int, bin_s: float) -> None:
    peaks = [
        shift
        for shift, r in found.items()
        if abs(shift - best) > 1
        and r > found[best] - _AMBIGUOUS
        and r >= found.get(shift - 1, -1)
        and r >= found.get(shift + 1, -1)
    ]
    if peaks:
        other = max(peaks, key=lambda shift: found[shift])
        raise MeasurementError(
            f"the lag of the meter's clock cannot be told: {best * bin_s:+.0f} s and "
            f"{other * bin_s:+.0f} s fit equally well, because the load repeats; give a smaller "
            "--max-lag, or measure points of different power"
        )


def _refined(
    curve: EnergyCurve, runs: Sequence[BoardRun], bin_s: float, shift: int
) -> tuple[float, float]:
    """Return the best lag within one bin of a shift, and the correlation there."""
    bins = _board_bins(runs, bin_s)
    step_s = bin_s / _FINE_STEPS
    rated: list[tuple[float, float]] = []
    for i in range(-_FINE_STEPS, _FINE_STEPS + 1):
        lag_s = shift * bin_s + i * step_s
        pairs = list(_pairs_at(curve, bins, bin_s, lag_s))
        r = _pearson(pairs) if len(pairs) >= _MIN_PAIRS else None
        if r is not None:
            rated.append((r, lag_s))
    best_r, best_s = max(rated)
    return best_s, best_r


def _pairs_at(
    curve: EnergyCurve, bins: _Bins, bin_s: float, lag_s: float
) -> Iterator[tuple[float, float]]:
    for k, power_w in bins.items():
        metered_w = curve.mean_w(k * bin_s + lag_s, (k + 1) * bin_s + lag_s)
        if metered_w is not None:
            yield power_w, metered_w


def _drift_s(
    curve: EnergyCurve, runs: Sequence[BoardRun], bin_s: float, shift: int
) -> float | None:
    """Return how much the lag changes from the first half of the runs to the second."""
    ordered = sorted(runs, key=lambda run: run.curve.start_s)
    halves = ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :]
    lags_s = []
    for half in halves:
        # Wider than the drift that is found over both halves together.
        around = max(2, math.ceil(5 / bin_s))
        board = _board_bins(half, bin_s)
        meter = _meter_bins(curve, bin_s, board, (abs(shift) + around + 1) * bin_s)
        rated = [
            (r, s)
            for s in range(shift - around, shift + around + 1)
            if (r := _correlation(board, meter, s)) is not None and r >= _MIN_CORRELATION
        ]
        if not rated:
            return None
        lags_s.append(_refined(curve, half, bin_s, max(rated)[1])[0])
    return lags_s[1] - lags_s[0]


def _no_lag(
    log: MeterLog, runs: Sequence[BoardRun], max_lag_s: float, best: float | None
) -> MeasurementError:
    """Return why no lag fits: another time zone, no common time, or unrelated powers."""
    hours = _fitting_hours(log, runs, max_lag_s)
    if hours is not None:
        return MeasurementError(
            f"the log fits the runs only if its times are shifted by {hours:+g} h, so it has another "
            f"time zone than stated; correct --time-zone, or give --shift={hours * 3600:.0f}"
        )
    first_s = min(run.curve.start_s for run in runs)
    last_s = max(run.curve.end_s for run in runs)
    if best is None and (log.curve.end_s < first_s or log.curve.start_s > last_s):
        return MeasurementError(
            f"the log does not overlap the runs: it is from {_span(log.curve.start_s, log.curve.end_s)}, "
            f"and the runs from {_span(first_s, last_s)}; give the log of that time"
        )
    if best is None:
        return MeasurementError(
            "the lag of the meter's clock cannot be found: log and runs have too little time in "
            "common, or the power at the meter is constant; give a log that covers all runs"
        )
    return MeasurementError(
        f"the lag of the meter's clock cannot be found: the highest correlation of the two powers "
        f"within +-{max_lag_s:g} s is {best:.2f}, expected at least {_MIN_CORRELATION:g}; is it the "
        "meter of this node, and did nothing else run? Else give a larger --max-lag"
    )


def _fitting_hours(log: MeterLog, runs: Sequence[BoardRun], max_lag_s: float) -> float | None:
    """Return the shift of the log in hours that makes it fit the runs, in steps of half an hour."""
    bin_s = _bin_width_s(log, runs, _MAX_COARSE_BINS)
    board = _board_bins(runs, bin_s)
    around = math.ceil(min(max_lag_s, 300.0) / bin_s)
    rated = []
    for half_hours in range(-_HALF_HOURS, _HALF_HOURS + 1):
        if half_hours == 0:
            continue
        moved = round(half_hours * 1800 / bin_s)
        shifted = {k + moved: power_w for k, power_w in board.items()}
        meter = _meter_bins(log.curve, bin_s, shifted, (around + 1) * bin_s)
        correlations = (_correlation(shifted, meter, s) for s in range(-around, around + 1))
        r = max((r for r in correlations if r is not None), default=None)
        if r is not None and r >= _MIN_CORRELATION:
            rated.append((r, -half_hours / 2))  # the log is later, so it moves back
    return max(rated)[1] if rated else None


def _span(start_s: float, end_s: float) -> str:
    from datetime import UTC, datetime

    start, end = (datetime.fromtimestamp(t_s, UTC) for t_s in (start_s, end_s))
    return f"{start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC"
