"""What is known of this machine's meters from earlier studies of the same boot."""

from __future__ import annotations

from llem_config.settings import cache_path
from llem_energy import Calibration, Carryover, load_calibrations, save_calibrations


def known_calibrations() -> tuple[Calibration, ...]:
    """Return every calibration that was kept; whether one still holds, its user decides."""
    return load_calibrations(cache_path())


def remember(now: Carryover, before: Carryover) -> Carryover:
    """Keep what is new for the next study, and return it for the next run."""
    if now.calibration != before.calibration:
        save_calibrations(cache_path(), now.calibration)
    return now
