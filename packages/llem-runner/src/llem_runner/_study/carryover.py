"""Calibrations of this machine's meters, carried over from earlier studies."""

from __future__ import annotations

from pathlib import Path

from llem_config.settings import cache_path, gains_path
from llem_energy import Carryover
from llem_energy.gain import load_gains
from llem_energy.records import load_peaks, save_peaks
from llem_energy.sources import load_board_checks, load_calibrations, save_calibrations


def known_at_start() -> Carryover:
    """Return every saved calibration, gain, check of a board and peak; the measurement checks which are valid.

    Raises:
        MeasurementError: the file of gains is damaged.
    """
    path = cache_path()
    return Carryover(
        calibration=load_calibrations(path),
        gains=load_gains(gains_path()),
        board_checks=load_board_checks(path),
        peaks=load_peaks(_peaks_path()),
    )


def remember(now: Carryover, before: Carryover) -> Carryover:
    """Save new calibrations and peaks for the next study, and return `now` for the next run."""
    if now.calibration != before.calibration:
        save_calibrations(cache_path(), now.calibration)
    if now.peaks != before.peaks:
        save_peaks(_peaks_path(), now.peaks)
    return now


def _peaks_path() -> Path:
    return cache_path().with_name("peaks.json")
