"""What one check found, and the experiments that it concerns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One sentence about some experiments."""

    message: str
    """One sentence."""
    points: tuple[int, ...]
    """Indices of the experiments that it concerns, in ascending order."""


def findings(points: Mapping[str, Iterable[int]]) -> tuple[Finding, ...]:
    """Return one finding for each message, given the points that it concerns."""
    return tuple(Finding(message, tuple(sorted(group))) for message, group in points.items())
