"""The mean powers of each window at the board and at the meter, where neither shows anything else.

A meter that averages over seconds still shows the idle time before a window when it begins, and the
window when it is over. So do a lag that is slightly wrong, and a host that works before the board does.
All of them change the slope less, the more is cut from both ends of the windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llem_energy._errors import MeasurementError
from llem_energy._gain.board_run import BoardRun
from llem_energy._gain.clock_lag import Lag
from llem_energy._gain.line_fit import fit_line
from llem_energy._gain.meter_log import MeterLog

MIN_WINDOWS = 6
_MIN_PERIODS = 3.0  # of the meter, in what is left of a window
_WIDER = 2.0  # from one cut to the next
_MAX_CHANGE = 0.005
"""Of the slope by a wider cut. The efficiency of a supply is rarely known so well."""
_LOAD = ("window", "prefill", "decode")
"""Phases in which the host works alike. Idle phases are not fitted: the host idles in them too, and
the slope would contain what it draws for the work."""

Powers = tuple[float, float]
"""Mean power of a window in W: as the board reports it, and at the meter."""


class SteadyWindows(NamedTuple):
    """The windows of a board."""

    powers: list[Powers]
    n_left_out: int
    """Windows that are too short, or that the log does not cover."""
    cut_s: float
    """What is left out at both ends of each window."""


def steady_windows(device: str, log: MeterLog, runs: Sequence[BoardRun], lag: Lag) -> SteadyWindows:
    """Return the windows with as much of their ends cut as the slope needs, or all if they are few.

    Args:
        device: of the runs.
        log: of the meter.
        runs: of the device.
        lag: of the clocks.

    Raises:
        MeasurementError: the slope changes with every cut that the windows allow.
    """
    cut_s = lag.bin_s
    while True:
        near, far, n_left_out = _cut(log, runs, lag.lag_s, cut_s)
        if len(near) < MIN_WINDOWS or _is_constant(near):
            return SteadyWindows(near, n_left_out, cut_s)
        outer = fit_line(*_columns(near))
        # Of the same windows: what the host draws differs between windows, and cancels in each pair.
        differences = [
            far_w - near_w - outer.slope * (far_board_w - near_board_w)
            for (near_board_w, near_w), (far_board_w, far_w) in zip(near, far, strict=True)
        ]
        change = fit_line([board for board, _ in near], differences)
        if abs(change.slope) <= max(_MAX_CHANGE * abs(outer.slope), 2 * change.slope_se):
            return SteadyWindows(near, n_left_out, cut_s)
        wider, _, _ = _cut(log, runs, lag.lag_s, _WIDER * cut_s)
        if len(wider) < MIN_WINDOWS:
            raise MeasurementError(
                f"{device}: one watt of the board is {outer.slope:.4g} W at the meter without "
                f"{cut_s:.3g} s at both ends of the windows, but {fit_line(*_columns(far)).slope:.4g} W without "
                f"{_WIDER * cut_s:.3g} s, so the meter averages over some seconds; measure windows of "
                f"{min_window_s(log, _WIDER * cut_s):.3g} s or more (energy.min_window_seconds), or "
                "use a faster meter"
            )
        cut_s *= _WIDER


def load_powers(runs: Sequence[BoardRun]) -> list[float]:
    """Return the mean power of each window as the board reports it, whatever the log covers."""
    spans = [(run, span) for run in runs for span in run.spans if span.phase in _LOAD]
    means = (
        run.curve.mean_w(span.start_s, span.end_s)
        for run, span in spans
        if span.end_s > span.start_s
    )
    return [power_w for power_w in means if power_w is not None]


def min_window_s(log: MeterLog, cut_s: float) -> float:
    """Return the shortest window that can be used, if so much is cut at both ends, and then twice."""
    return _MIN_PERIODS * log.period_s + 2 * _WIDER * cut_s


def _cut(
    log: MeterLog, runs: Sequence[BoardRun], lag_s: float, cut_s: float
) -> tuple[list[Powers], list[Powers], int]:
    """Return the windows with both ends cut, the same windows cut wider, and how many are left out."""
    near: list[Powers] = []
    far: list[Powers] = []
    n_left_out = 0
    for run in runs:
        for span in run.spans:
            if span.phase not in _LOAD:
                continue
            is_long = span.end_s - span.start_s >= min_window_s(log, cut_s)
            inside = [
                _powers(log, run, span.start_s + each_s, span.end_s - each_s, lag_s)
                for each_s in (cut_s, _WIDER * cut_s)
                if is_long
            ]
            if not inside or inside[0] is None or inside[1] is None:
                n_left_out += 1
            else:
                near.append(inside[0])
                far.append(inside[1])
    return near, far, n_left_out


def _powers(
    log: MeterLog, run: BoardRun, start_s: float, end_s: float, lag_s: float
) -> Powers | None:
    board_w = run.curve.mean_w(start_s, end_s)
    meter_w = log.curve.mean_w(start_s + lag_s, end_s + lag_s)
    return None if board_w is None or meter_w is None else (board_w, meter_w)


def _columns(powers: Sequence[Powers]) -> tuple[list[float], list[float]]:
    return [board for board, _ in powers], [metered for _, metered in powers]


def _is_constant(powers: Sequence[Powers]) -> bool:
    return len({board for board, _ in powers}) < 2
