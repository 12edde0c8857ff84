"""Calibrations of this machine's meters, carried over from earlier studies."""

from __future__ import annotations

from llem_config.settings import cache_path, gains_path
from llem_energy import Carryover
from llem_energy.gain import load_gains
from llem_energy.sources import load_board_checks, load_calibrations, save_calibrations


def known_at_start() -> Carryover:
    """Return every saved calibration, gain and check of a board; the measurement checks which are valid.

    Raises:
        MeasurementError: the file of gains is damaged.
    """
    path = cache_path()
    return Carryover(
        calibration=load_calibrations(path),
        gains=load_gains(gains_path()),
        board_checks=load_board_checks(path),
    )


def remember(now: Carryover, before: Carryover) -> Carryover:
    """Save new calibrations for the next study, and return `now` for the next run."""
    if now.calibration != before.calibration:
        save_calibrations(cache_path(), now.calibration)
    return now
