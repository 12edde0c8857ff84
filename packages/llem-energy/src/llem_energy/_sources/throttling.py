"""Why a device ran slower than it could: names for people, a bit mask for the stored samples.

The bits are those of the NVML API reference (nvmlClocksEventReasons). Other sources use the same
names where they apply.
"""

from __future__ import annotations

from collections.abc import Iterable

THROTTLE_REASONS = {
    "idle": 0x1,
    "application clocks": 0x2,
    "software power cap": 0x4,
    "hardware slowdown": 0x8,
    "sync boost": 0x10,
    "software thermal": 0x20,
    "hardware thermal": 0x40,
    "power brake": 0x80,
    "display clocks": 0x100,
}
"""Bit of each reason."""

# A bit that a newer driver adds keeps its number: `0x200`.
_BITS = {hex(1 << i): 1 << i for i in range(9, 63)} | THROTTLE_REASONS
_NAMES = sorted((bit, name) for name, bit in _BITS.items())
_SETTINGS = {"idle", "display clocks"}  # low clocks, but nothing holds the device back


def throttle_names(mask: int) -> tuple[str, ...]:
    """Return the name of every bit in a mask, lowest bit first."""
    return tuple(name for bit, name in _NAMES if mask & bit)


def throttle_mask(names: Iterable[str]) -> int:
    """Return the mask of some names; a name that has no bit is left out."""
    mask = 0
    for name in names:
        mask |= _BITS.get(name, 0)
    return mask


def slowed_by(samples: Iterable[tuple[str, ...] | None]) -> tuple[str, ...]:
    """Return every reason in a series of `Sample.throttle_reasons` that slowed the device down."""
    mask = 0
    for names in samples:
        mask |= throttle_mask(names or ())
    return tuple(name for name in throttle_names(mask) if name not in _SETTINGS)
