"""Power between the end of a window and the first update of the counter after it, from later power.

A board may need time to fall to idle power. The mean powers of three intervals after that update show
how: by the same share in equal times, as behind a capacitor or a cooler, or along a line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_MIN_SHARE, _MAX_SHARE = (
    0.05,
    0.98,
)  # left after an interval; outside these the fall is a step or a line


def fall_j(powers_w: Sequence[float], outside_s: float, length_s: float) -> float:
    """Return the energy before the first of three intervals, above that of its own mean power.

    Args:
        powers_w: mean powers of the three intervals.
        outside_s: time before the first interval, in which power already fell.
        length_s: of an interval.

    Returns:
        0 if power does not fall from the first to the second interval.
    """
    near_w, far_w, later_w = powers_w
    first_w, second_w = near_w - far_w, far_w - later_w
    if first_w <= 0:
        return 0.0
    share = min(max(second_w / first_w, _MIN_SHARE), _MAX_SHARE)
    above_w = first_w / (1 - share)
    before_j = above_w * length_s * (math.pow(share, -outside_s / length_s) - 1) / (1 - share)
    return before_j - above_w * outside_s
