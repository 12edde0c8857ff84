"""Errors of a study as a whole. A failed run is recorded as data; it raises no error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llem_config import LlemError
from llem_energy.preflight import DatasetFinding


class StudyError(LlemError):
    """A study cannot be started, continued or read."""


class NewerFormatError(StudyError):
    """A file of a study is of a later format than this version of llem reads."""


class UnknownBackendError(StudyError):
    """A study cannot be read here, because the package of its backend is not installed."""


class TemporaryFolderError(LlemError):
    """A packed file or an archive cannot be copied to the folder for temporary files, so it cannot be read now.

    It says nothing about the study: a reader that takes other errors for damage must not take this one.
    """


class PreflightError(StudyError):
    """The study cannot run on this machine. Lists every reason; nothing was written.

    `places` has the place in a data set for each reason that is a fault of one.
    """

    def __init__(
        self, failures: Sequence[str], places: Mapping[str, DatasetFinding] | None = None
    ) -> None:
        super().__init__("\n".join(failures))
        self.failures = tuple(failures)
        self.places = dict(places or {})


class StudyLocked(StudyError):  # noqa: N818  # a state of the machine, not a bug
    """Another study holds the folder or a GPU."""


class SubmissionObstructed(StudyError):  # noqa: N818  # a state of the machine, not a bug
    """Nothing can be submitted from this machine, one line for each reason; nothing was written."""

    exit_code = 2


class SubmissionRefused(StudyError):  # noqa: N818  # an answer of a cluster, not a bug
    """A cluster did not take a study. Nothing of it was accepted; the message says what to change."""


class SubmissionUnknown(StudyError):  # noqa: N818  # an answer that was lost
    """It cannot be told whether a cluster took a study, because its answer was lost."""
