"""What an exporter needs of a window: that it is closed."""

from __future__ import annotations

from llem_energy._errors import MeasurementError
from llem_energy._meter.energy_window import EnergyWindow


def closed_duration_s(window: EnergyWindow) -> float:
    """Return the duration of a closed window in seconds.

    Raises:
        MeasurementError: it is not closed.
    """
    if window.duration_s is None:
        state = "is still open" if window.is_open else "was never opened"
        raise MeasurementError(
            f"expected a closed window, found that {window.name!r} {state}; add it after its block"
        )
    return window.duration_s
