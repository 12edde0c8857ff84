"""What explains the speed and energy of a phase: its work, and how much of the device it uses.

A figure that could not be found is None, never 0, and `reasons` says why.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from llem_config import PhaseName
from llem_energy._backends.roofline import PeakConditions, Peaks

Bound = Literal["compute", "memory", "host"]


class DevicePeaks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the device of a run reaches, measured on it in this boot."""

    conditions: PeakConditions
    """What was measured. Another device, precision or library has other peaks."""
    peaks: Peaks
    driver: str | None
    """Version of the GPU driver; None without a GPU driver."""
    boot_id: str | None
    """The kernel's id of the boot in which it was measured."""
    made_at: str
    """UTC, ISO 8601."""
    settings: str | None = None
    """Of the device, which change what it reaches: power limit and application clocks of a GPU, governor
    of a processor. None in results of earlier versions."""


class PhaseRoofline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prefill or decode: operations, bytes, and their shares of what the device can reach."""

    phase: PhaseName
    """`prefill` or `decode`."""
    timed: Literal["alone", "in the window"]
    """`alone`: the phase was measured separately. `in the window`: by the times of tokens."""
    time_s: float | None
    """Time of all prefills, or of all steps after the first token."""
    flops: float | None
    """Operations that were computed, those for padding and for tokens after an end included."""
    bytes_moved: float | None
    """Bytes that this work reads and writes in the device's memory, at least."""
    bytes_confidence: Literal["medium", "low"] | None
    """How well the bytes are known: `low` with activations or experts."""
    achieved_tflops: float | None
    """10**12 operations per second."""
    achieved_gb_s: float | None
    """10**9 bytes per second."""
    arithmetic_intensity: float | None
    """Operations per byte."""
    mfu: float | None
    """Share of the measured peak of matrix products in the same precision, 0 to 1."""
    mbu: float | None
    """Share of the measured peak of the memory, 0 to 1."""
    pj_per_flop: float | None
    """Picojoules of the metered devices per operation, idle power included."""
    pj_per_byte: float | None
    """Picojoules of the metered devices per byte, idle power included."""
    gpu_utilisation: float | None
    """Share of the time in which the GPUs had work, as the driver averages it: of the phase, or of
    the whole window. None without a GPU, or if the driver does not report it."""
    bound_by: Bound | None
    """The larger share says whether operations or bytes limit the phase. `host` if both are below
    20 %, or if the GPUs had work for less than 90 % of the time."""
    reasons: tuple[str, ...] = ()
    """Why figures are missing, each with the name of its field first."""
