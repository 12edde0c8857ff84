"""Numbers and percentages with a fixed number of significant digits."""

from __future__ import annotations

import math


def plain(value: float, digits: int) -> str:
    """Return a number with `digits` significant digits, without an exponent below 10 million."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e7 else text


def ratio_text(ratio: float, places: int = 3) -> str:
    """Return a ratio with `places` decimals, fewer from 10 on, and an exponent from a million on: 1.72e+29."""
    if ratio >= 1e6:
        return f"{ratio:.3g}"
    digits_before = max(math.floor(math.log10(ratio)), 0) if ratio > 0 else 0
    return f"{ratio:.{max(places - digits_before, 0)}f}"


def percent(share: float) -> str:
    """Return a share as a percentage with two significant digits: 0.0312 as `3.1 %`."""
    return f"{plain(100 * share, 2)} %"


def file_size(n_bytes: int) -> str:
    """Return the size of a file, such as `1.2 MB` or `12,345 bytes`."""
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e5 else f"{n_bytes:,} bytes"
