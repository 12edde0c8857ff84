"""Whether a gain can be that of a sensor, or is rather a mistake in what the user states."""

from __future__ import annotations

from llem_energy._metering.gain_store import GainCalibration

_PUBLISHED = (0.90, 1.06)
"""A board's sensor against an external meter: -6 to -4 % on six of nine boards, +11 % on one
(arXiv 2312.02741)."""
_PLAUSIBLE = (0.85, 1.15)


def implausible_gain(calibration: GainCalibration) -> str | None:
    """Return a sentence if a gain is far from every published one; None if it is not."""
    low, high = _PLAUSIBLE
    if low <= calibration.gain <= high:
        return None
    return (
        f"{calibration.device}: the gain is {calibration.gain:.3g}, and published ones are from "
        f"{_PUBLISHED[0]:.2f} to {_PUBLISHED[1]:.2f}; before you use it, check --efficiency, that the meter "
        "sees all power supplies of the node, and that nothing else that it sees works with the board"
    )
