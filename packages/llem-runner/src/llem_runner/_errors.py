"""Errors of a study as a whole. A failed run is recorded as data; it raises no error."""

from __future__ import annotations

from collections.abc import Sequence

from llem_config import LlemError


class StudyError(LlemError):
    """A study cannot be started, continued or read."""


class PreflightError(StudyError):
    """The study cannot run on this machine. Lists every reason; nothing was written."""

    def __init__(self, failures: Sequence[str]) -> None:
        super().__init__("\n".join(failures))
        self.failures = tuple(failures)


class StudyLocked(StudyError):  # noqa: N818  # a state of the machine, not a bug
    """Another study holds the folder or a GPU."""
