"""What a verification finds: plain data, to be shown or written as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from llem_runner._archives.checked_file import CheckedFile
from llem_runner._provenance.start import Start
from llem_runner._storage.manifest import StudyStatus

InputState = Literal["same", "changed", "not here", "unverifiable"]
Verdict = Literal["intact", "not intact", "unverifiable"]


class CheckedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A package whose version differs between a start of the study and this machine."""

    package: str
    then: str | None
    """None: it was not installed."""
    now: str | None
    session: int
    """Number of the start."""


class CheckedInput(msgspec.Struct, frozen=True, kw_only=True):
    """A model, adapter, data set or chat template that the runs have read."""

    role: str
    name: str
    revision: str | None
    state: InputState
    """Of the files on this machine, compared with those that the runs have read."""
    reason: str | None
    then_sha256: str | None
    now_sha256: str | None


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a measurement on this machine needs."""

    what: str
    is_met: bool | None
    """None: cannot be told."""
    reason: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What was found about the folder or the archive of a study."""

    path: str
    """As the caller has named it."""
    study_name: str
    study_design_hash: str
    study_status: StudyStatus
    is_running: bool | None
    """Whether a process runs the study; its files are then still changing. None: its process, on another
    machine, cannot be seen from here."""
    verdict: Verdict
    """`unverifiable`: nothing contradicts, but the format of the manifest is too old for digests, or a
    newer llem wrote the results."""
    reason: str
    """The verdict in a sentence."""
    manifest_sha256: str
    """SHA-256 of `manifest.json`, which has the digests of the other files. Anyone who knows this
    number can tell whether manifest and files were changed together."""
    archive_sha256: str | None
    """Of the archive; None for a folder."""
    files: tuple[CheckedFile, ...]
    starts: tuple[Start, ...]
    """Command line, code and packages of each start; empty in an older folder."""
    versions: tuple[CheckedVersion, ...]
    """Packages that differ; the number of those that agree is in `n_same_versions`."""
    n_same_versions: int
    inputs: tuple[CheckedInput, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    """What a measurement of the same study on this machine needs; empty if it was not checked."""
