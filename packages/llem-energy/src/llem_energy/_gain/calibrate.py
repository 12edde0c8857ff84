"""From the log of a meter and the runs of studies to the gain of each board's sensor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from llem_energy._errors import MeasurementError
from llem_energy._gain.board_run import BoardRun
from llem_energy._gain.clock_lag import Lag, find_lag
from llem_energy._gain.line_fit import Line, fit_line
from llem_energy._gain.meter_log import UNITS_OF_ENERGY, UNITS_OF_POWER, MeterLog
from llem_energy._metering.gain_store import GainCalibration

MIN_WINDOWS = 6
_MIN_PERIODS = 3.0  # a window has at least this number of intervals of the meter
_LOAD = ("window", "prefill", "decode")
"""Phases in which the host works alike. Idle phases are not fitted: the host idles in them too, and
the slope would contain what it draws for the work."""
_MIN_RANGE = 0.1  # of the powers, as a share of the highest
_MAX_OUTLIERS = 0.2
_MAX_ERROR = 0.05
"""Of the gain, from the fit alone: the literature is as good."""
_SLOPES = (0.5, 2.5)


class Supply(NamedTuple):
    """What lies between the meter and the board, as the user states it."""

    meter: str
    """Name of the meter."""
    efficiency: float = 1.0
    """Share of an additional watt at the meter that reaches the board, 0 < efficiency <= 1."""
    efficiency_error: float = 0.02
    """Half of its 95 % interval."""


class GainReport(NamedTuple):
    """The gain of one board, and what was left out."""

    calibration: GainCalibration
    """The fit."""
    lag: Lag
    """Between the clocks, by which the log was shifted."""
    n_left_out: int
    """Windows that are shorter than the meter needs, or that the log does not cover."""
    n_gaps: int
    """Gaps in the log."""
    windows: tuple[tuple[float, float], ...]
    """Mean power of each window in W: as the board reports it, and at the meter."""


def calibrate_gains(
    log: MeterLog,
    runs: Sequence[BoardRun],
    supply: Supply,
    *,
    drivers: Mapping[str, str | None],
    max_lag_s: float = 60.0,
) -> tuple[GainReport, ...]:
    """Fit power at the meter = slope x power of the board + offset, for each board.

    Args:
        log: of the meter.
        runs: each of one board; other boards must idle meanwhile.
        supply: what lies between meter and board.
        drivers: version of the driver, by device.
        max_lag_s: largest difference of the two clocks.

    Raises:
        MeasurementError: the gain cannot be told; the message has the reason.
    """
    devices = dict.fromkeys(run.device for run in runs)
    for device in devices:
        _check_load(device, [run for run in runs if run.device == device])
    covered = [
        run
        for run in runs
        if run.curve.start_s - max_lag_s < log.curve.end_s
        and run.curve.end_s + max_lag_s > log.curve.start_s
    ]
    try:
        lag = find_lag(log, covered or runs, max_lag_s)
        return tuple(
            _report(
                log, [run for run in runs if run.device == device], supply, lag, drivers.get(device)
            )
            for device in devices
        )
    except MeasurementError as error:
        raise MeasurementError(f"{log.path}: {error}") from error


def _report(
    log: MeterLog, runs: Sequence[BoardRun], supply: Supply, lag: Lag, driver: str | None
) -> GainReport:
    device = runs[0].device
    windows, n_left_out = _windows(log, runs, lag)
    if len(windows) < MIN_WINDOWS:
        n_gaps = log.curve.n_gaps
        gaps = f"; the log has {n_gaps} {'gap' if n_gaps == 1 else 'gaps'}" if n_gaps else ""
        raise MeasurementError(
            f"{device}: expected at least {MIN_WINDOWS} windows that the log covers, each of "
            f"{_min_window_s(log, lag):.3g} s or more, found {len(windows)}, and {n_left_out} that are "
            f"shorter or not covered{gaps}; add studies, or raise energy.min_window_seconds"
        )
    board_w = [board for board, _ in windows]
    _check_range(device, board_w)
    line = fit_line(board_w, [metered for _, metered in windows])
    _check(device, line, log, len(windows))
    error = line.interval() / line.slope
    if error > _MAX_ERROR:
        raise MeasurementError(
            f"{device}: the gain is only known to +-{error:.1%}, no better than the "
            f"+-{_MAX_ERROR:.0%} of the literature; measure more windows, or powers that differ more"
        )
    kept = [windows[i] for i in line.kept]
    calibration = _calibration(device, line, kept, supply, lag, log, driver, len(windows))
    return GainReport(calibration, lag, n_left_out, log.curve.n_gaps, tuple(windows))


def _check_load(device: str, runs: Sequence[BoardRun]) -> None:
    """Raise MeasurementError if the windows show one power only, whatever the log says."""
    spans = [(run, span) for run in runs for span in run.spans if span.phase in _LOAD]
    means = (
        run.curve.mean_w(span.start_s, span.end_s)
        for run, span in spans
        if span.end_s > span.start_s
    )
    board_w = [power_w for power_w in means if power_w is not None]
    if len(board_w) >= MIN_WINDOWS:
        _check_range(device, board_w)


def _check_range(device: str, board_w: Sequence[float]) -> None:
    low_w, high_w = min(board_w), max(board_w)
    if high_w - low_w < _MIN_RANGE * high_w:
        raise MeasurementError(
            f"{device}: the load was constant ({low_w:.4g} to {high_w:.4g} W in all windows), so that the "
            f"gain cannot be told from the offset; measure points whose powers differ by "
            f"{_MIN_RANGE:.0%} or more, such as several batch sizes"
        )


def _min_window_s(log: MeterLog, lag: Lag) -> float:
    return _MIN_PERIODS * log.period_s + 2 * lag.bin_s


def _windows(
    log: MeterLog, runs: Sequence[BoardRun], lag: Lag
) -> tuple[list[tuple[float, float]], int]:
    """Return the mean powers of each window at board and meter, and how many are left out.

    Both ends are cut by the width of a bin, more than the error of the lag.
    """
    windows, n_left_out = [], 0
    for run in runs:
        for span in run.spans:
            if span.phase not in _LOAD:
                continue
            start_s, end_s = span.start_s + lag.bin_s, span.end_s - lag.bin_s
            is_long = span.end_s - span.start_s >= _min_window_s(log, lag)
            board_w = run.curve.mean_w(start_s, end_s) if is_long else None
            meter_w = log.curve.mean_w(start_s + lag.lag_s, end_s + lag.lag_s) if is_long else None
            if board_w is None or meter_w is None:
                n_left_out += 1
            else:
                windows.append((board_w, meter_w))
    return windows, n_left_out


def _check(device: str, line: Line, log: MeterLog, n_windows: int) -> None:
    """Raise MeasurementError if the line cannot be that of a node with this board."""
    low, high = _SLOPES
    if not low <= line.slope <= high:
        same = UNITS_OF_POWER if log.unit in UNITS_OF_POWER else UNITS_OF_ENERGY
        scaled = {unit: line.slope * joules / same[log.unit] for unit, joules in same.items()}
        units = [unit for unit, slope in scaled.items() if low <= slope <= high]
        hint = "is it the log of the meter of this node?"
        if units:
            hint = f"its values are probably in {units[0]}: give --unit={units[0]}"
        raise MeasurementError(
            f"{device}: one watt of the board is {line.slope:.3g} W at the meter, expected {low:g} to "
            f"{high:g} W, with the log read in {log.unit}; {hint}"
        )
    n_outliers = n_windows - len(line.kept)
    if n_outliers > _MAX_OUTLIERS * n_windows:
        raise MeasurementError(
            f"{device}: {n_outliers} of {n_windows} windows do not fit a line, so something else "
            "changed the power of the node; measure again on a node without other work"
        )


def _calibration(
    device: str,
    line: Line,
    kept: Sequence[tuple[float, float]],
    supply: Supply,
    lag: Lag,
    log: MeterLog,
    driver: str | None,
    n_windows: int,
) -> GainCalibration:
    # Two independent errors: of the fit, and of the efficiency.
    error = math.hypot(line.interval() * supply.efficiency, line.slope * supply.efficiency_error)
    return GainCalibration(
        device=device,
        gain=line.slope * supply.efficiency,
        gain_error=error,
        slope=line.slope,
        slope_se=line.slope_se,
        offset_w=line.offset,
        offset_se_w=line.offset_se,
        residual_sd_w=line.residual_sd,
        n_windows=len(kept),
        n_outliers=n_windows - len(kept),
        board_min_w=min(board for board, _ in kept),
        board_max_w=max(board for board, _ in kept),
        lag_s=lag.lag_s,
        lag_correlation=lag.correlation,
        efficiency=supply.efficiency,
        efficiency_error=supply.efficiency_error,
        meter=supply.meter,
        log_sha256=log.sha256,
        driver=driver,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
