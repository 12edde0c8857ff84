"""The errors of one measurement. Errors of other libraries are converted to these."""

from __future__ import annotations

from llem_config import LlemError


class MeasurementError(LlemError):
    """The measurement of one experiment cannot be made or finished."""


class GpuError(MeasurementError):
    """The GPU or its driver does not respond, or cannot do what was requested."""


class BackendError(MeasurementError):
    """The inference library is missing, or cannot run the experiment with its options."""


class OutOfMemory(BackendError):  # noqa: N818  # a state of the machine, not a bug
    """The device has less memory than the experiment needs."""


class NewerResultError(MeasurementError):
    """The result is of a later format than this version of llem reads."""


class DatasetError(MeasurementError):
    """The prompts cannot be read."""
