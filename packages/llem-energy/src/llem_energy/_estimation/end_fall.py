"""Power between the end of a window and the first update of the counter after it, from later power.

A board may need time to fall to idle power. The mean powers of the intervals after that update show
how: by the same share in equal times, as behind a capacitor or a cooler, or along a line. Three of
them determine such a fall, and a fourth one confirms it: a step has the same first falls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

_MIN_SHARE, _MAX_SHARE = (
    0.05,
    0.98,
)  # left after an interval; outside these the fall is a step or a line
_SHOWS = 0.5  # of an error (95 %): a smaller third fall is none, and the second one ends in a step
_SAME_SHARE = 0.3  # relative deviation of the third fall, with which it still is the same share


def is_confirmed(powers_w: Sequence[float], likely_w: float) -> bool:
    """Return whether power falls by the same share, or by the same amount, from each interval to the next.

    Args:
        powers_w: mean powers of four intervals of the same length.
        likely_w: error (95 %) of each.

    Returns:
        False also for a fall that could be a step as well.
    """
    first_w, second_w, third_w = (near_w - far_w for near_w, far_w in pairwise(powers_w))
    if first_w <= 0:
        return False
    share = second_w / first_w
    if share < _MIN_SHARE or third_w <= _SHOWS * likely_w:
        return False
    share = min(share, 1.0)
    expected_w = second_w * share
    # By how much each of the powers changes the difference from what is expected.
    noise_w = likely_w * math.hypot(share**2, share * (2 + share), 1 + 2 * share, 1)
    return abs(third_w - expected_w) <= max(noise_w, _SAME_SHARE * expected_w)


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
