"""What a backend can add to explain a point: bytes that it moves, and what its device can reach.

Both are optional. Without them the result says that bytes or peaks are unknown.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from llem_energy._model_info.traffic import Traffic


@runtime_checkable
class ReportsTraffic(Protocol):
    """A backend that also reports the sizes from which llem counts the bytes moved; optional.

    Leave it out unless all prompts of a `Batch` are computed in step: one token of each per step.
    """

    def traffic(self) -> Traffic | None:
        """Return the sizes of the loaded model; None if its architecture is unknown."""


class PeakConditions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the peaks of a device depend on, besides its driver."""

    device: str
    """UUID of the GPU, or the processor with its number of threads."""
    precision: str
    """Of the matrix products, such as `bfloat16`."""
    library: str
    """Name and version of what multiplies, such as `torch 2.11`."""


class Peaks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device reaches with nothing else to do; None if it was not measured."""

    tflops: float | None
    """10**12 operations per second of one large matrix product."""
    copy_gb_s: float | None
    """10**9 bytes per second, read and written, of a copy in the device's memory."""
    read_gb_s: float | None
    """10**9 bytes per second of reading that memory once."""

    @property
    def memory_gb_s(self) -> float | None:
        """The faster of copying and reading: what no work can exceed."""
        known = [rate for rate in (self.copy_gb_s, self.read_gb_s) if rate is not None]
        return max(known, default=None)


@runtime_checkable
class MeasuresPeaks(Protocol):
    """A backend that also measures what its device can reach; optional."""

    def peak_conditions(self) -> PeakConditions:
        """Return what the peaks depend on: those of an earlier run hold if it is equal.

        Raises:
            BackendError: peaks have no meaning here; the message says why.
        """

    def measure_peaks(self) -> Peaks:
        """Measure with the precision of the loaded model; it takes a second or two.

        Called after all windows, with the model loaded, once in each boot of the machine. It needs
        up to 1 GB of the host's memory, or 2 GB of a GPU's.

        Raises:
            BackendError: it cannot be measured, such as for lack of memory.
        """
