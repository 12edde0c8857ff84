"""From which difference on two values of power differ, and over which time power is taken."""

STRETCH_S = 0.07
"""Power over a shorter time depends too much on when the counter was read."""
MIN_TOLERANCE_W = 10.0
_SHARE = 0.10


def tolerance_w(watts: float) -> float:
    """Return by how much the counter and the sensor of power may differ: 10 W or 10 %, the larger.

    Args:
        watts: that either shows.
    """
    return max(MIN_TOLERANCE_W, _SHARE * watts)
