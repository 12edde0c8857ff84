"""From the log of a meter and the runs of studies to the gain of each board's sensor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

from llem_energy._errors import MeasurementError
from llem_energy._gain.board_run import BoardRun
from llem_energy._gain.clock_lag import Lag, find_lag
from llem_energy._gain.line_fit import Line, fit_line
from llem_energy._gain.meter_log import UNITS_OF_ENERGY, UNITS_OF_POWER, MeterLog
from llem_energy._gain.steady_windows import (
    MIN_WINDOWS,
    Powers,
    load_powers,
    min_window_s,
    steady_windows,
)
from llem_energy._metering.gain_store import GainCalibration

_MIN_RANGE = 0.1  # of the powers, as a share of the highest
_MAX_OUTLIERS = 0.2
_MAX_ERROR = 0.05
"""Of the gain, from the fit alone: the literature is as good."""
_SLOPES = (0.75, 1.75)
"""Watts at the meter per reported watt. A supply, fans and a sensor that is off by a tenth give 0.9 to 1.5;
half of the node's supplies, or a second board that works too, give what is beyond."""


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
    windows: tuple[Powers, ...]
    """Mean power of each window in W: as the board reports it, and at the meter."""
    cut_s: float = 0.0
    """What is left out at both ends of each window."""


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
    # A merged study has the runs of another one again. Counted twice, they would look more certain.
    runs = list({(run.device, run.curve.start_s, run.curve.end_s): run for run in runs}.values())
    devices = dict.fromkeys(run.device for run in runs)
    for device in devices:
        powers_w = load_powers([run for run in runs if run.device == device])
        if len(powers_w) >= MIN_WINDOWS:  # whatever the log says
            _check_range(device, powers_w)
    covered = [
        run
        for run in runs
        if run.curve.start_s - max_lag_s < log.curve.end_s
        and run.curve.end_s + max_lag_s > log.curve.start_s
    ]
    _check_one_at_a_time(covered)
    try:
        lag = find_lag(log, covered or runs, max_lag_s)
        return tuple(
            _report(
                log, [run for run in runs if run.device == device], supply, lag, drivers.get(device)
            )
            for device in devices
        )
    except MeasurementError as error:
        raise MeasurementError(f"{log.path}: {error}{_gaps(log)}") from error


def _report(
    log: MeterLog, runs: Sequence[BoardRun], supply: Supply, lag: Lag, driver: str | None
) -> GainReport:
    device = runs[0].device
    windows, n_left_out, cut_s = steady_windows(device, log, runs, lag)
    if len(windows) < MIN_WINDOWS:
        raise MeasurementError(
            f"{device}: expected at least {MIN_WINDOWS} windows that the log covers, each of "
            f"{min_window_s(log, cut_s):.3g} s or more, because the meter shows a new value every "
            f"{log.period_s:.3g} s, found {len(windows)}, and {n_left_out} that are "
            f"shorter or not covered; add studies, or raise energy.min_window_seconds"
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
    return GainReport(calibration, lag, n_left_out, log.curve.n_gaps, tuple(windows), cut_s)


def _gaps(log: MeterLog) -> str:
    """Return what missing readings may have to do with a refusal."""
    if log.is_irregular:
        return "; the log has no fixed interval: let the meter write at one, and not only changes"
    n_gaps = log.curve.n_gaps
    return f"; the log has {n_gaps} {'gap' if n_gaps == 1 else 'gaps'}" if n_gaps else ""


def _check_one_at_a_time(runs: Sequence[BoardRun]) -> None:
    """Raise MeasurementError if the meter has shown two runs at once."""
    in_order = sorted(runs, key=lambda run: run.curve.start_s)
    for run, later in pairwise(in_order):
        if later.curve.start_s < run.curve.end_s:
            both = " and ".join(sorted({run.device, later.device}))
            raise MeasurementError(
                f"runs of {both} overlap in time, so that the meter shows the sum of both; give "
                "only studies that ran alone on the node (--study)"
            )


def _check_range(device: str, board_w: Sequence[float]) -> None:
    low_w, high_w = min(board_w), max(board_w)
    if high_w - low_w < _MIN_RANGE * high_w:
        raise MeasurementError(
            f"{device}: the load was constant ({low_w:.4g} to {high_w:.4g} W in all windows), so that the "
            f"gain cannot be told from the offset; measure points whose powers differ by "
            f"{_MIN_RANGE:.0%} or more, such as several batch sizes"
        )


def _check(device: str, line: Line, log: MeterLog, n_windows: int) -> None:
    """Raise MeasurementError if the line cannot be that of a node with this board."""
    low, high = _SLOPES
    if not low <= line.slope <= high:
        same = UNITS_OF_POWER if log.unit in UNITS_OF_POWER else UNITS_OF_ENERGY
        scaled = {unit: line.slope * joules / same[log.unit] for unit, joules in same.items()}
        units = [unit for unit, slope in scaled.items() if low <= slope <= high]
        hint = "is it the log of the meter of this node? " + (
            "A node with two power supplies needs the sum of both"
            if line.slope < low
            else "Everything else that it measures must idle"
        )
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
