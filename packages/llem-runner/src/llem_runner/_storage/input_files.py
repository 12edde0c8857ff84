"""Whether the files that a study was started from are still the same in its folder.

A resume runs what `study_resolved.json` says, and a reader takes `study.yaml` for what was run. So
the manifest has a digest of both.
"""

from __future__ import annotations

import msgspec

from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyManifest
from llem_runner._storage.resolved_digest import resolved_digest, study_file_digest


class InputDigests(msgspec.Struct, frozen=True):
    """The digests of the input files in a study's folder; None: there is no such file."""

    study_file_sha256: str | None
    resolved_sha256: str | None


def digest_inputs(layout: Layout) -> InputDigests:
    """Return the digests of the files as they are now.

    A file that cannot be read has the digest of nothing, so that it counts as changed.
    """
    return InputDigests(study_file_digest(layout.source), resolved_digest(layout))


def changed_resolved(layout: Layout, manifest: StudyManifest) -> str | None:
    """Return a sentence if `study_resolved.json` is not the file that the study was started with.

    None if it is, and also for a manifest without digests.
    """
    before, now = manifest.resolved_sha256, digest_inputs(layout).resolved_sha256
    if before is None or now is None or before == now:  # another check reports a missing file
        return None
    return (
        f"{layout.resolved} was changed after the study started, so new runs would not be "
        "comparable with the earlier ones; restore it from a copy, or start a new study"
    )


def changed_study_file(layout: Layout, manifest: StudyManifest) -> str | None:
    """Return a sentence if `study.yaml` is there and not the file that the study was started with.

    None if it is, and also for a manifest without digests.
    """
    now = digest_inputs(layout).study_file_sha256
    if manifest.resolved_sha256 is None or now is None or manifest.study_file_sha256 == now:
        return None
    return f"{layout.source} is not the file that this study was started with"
