"""Calibrations of this machine's meters, carried over from earlier studies."""

from __future__ import annotations

from llem_config.settings import cache_path
from llem_energy import Carryover
from llem_energy.sources import Calibration, load_calibrations, save_calibrations


def known_calibrations() -> tuple[Calibration, ...]:
    """Return every saved calibration; the measurement checks whether one is still valid."""
    return load_calibrations(cache_path())


def remember(now: Carryover, before: Carryover) -> Carryover:
    """Save new calibrations for the next study, and return `now` for the next run."""
    if now.calibration != before.calibration:
        save_calibrations(cache_path(), now.calibration)
    return now
