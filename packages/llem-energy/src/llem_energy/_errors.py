"""What can go wrong in one measurement. Foreign errors are wrapped where they enter."""

from __future__ import annotations

from llem_config import LlemError


class MeasurementError(LlemError):
    """The measurement of one experiment cannot be made or finished."""


class GpuError(MeasurementError):
    """The GPU or its driver does not give what was asked of it."""


class BackendError(MeasurementError):
    """The inference library is missing, or cannot do what the experiment asks."""


class OutOfMemory(BackendError):  # noqa: N818  # it is what happened, as the record will name it
    """The device has less memory than the experiment needs."""


class DatasetError(MeasurementError):
    """The prompts cannot be read."""
