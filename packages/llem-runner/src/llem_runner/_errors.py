"""What can go wrong with a study as a whole. A failed run is no error but data."""

from __future__ import annotations

from collections.abc import Sequence

from llem_config import LlemError


class StudyError(LlemError):
    """A study cannot be started, continued or read."""


class PreflightError(StudyError):
    """The study cannot run on this machine; every reason at once. Nothing was written."""

    def __init__(self, failures: Sequence[str]) -> None:
        super().__init__("\n".join(failures))
        self.failures = tuple(failures)


class StudyLocked(StudyError):  # noqa: N818  # it is a state of the machine, no bug
    """Another study holds the folder or a GPU."""
