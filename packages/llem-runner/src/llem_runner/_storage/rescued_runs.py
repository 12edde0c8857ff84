"""The runs of an attempt whose manifest was cut off, as far as their own files tell.

A run counts if its result is complete and belongs to the point in the name of its folder: the same is
asked of a run whose process was killed between writing the result and the manifest.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from llem_runner._errors import StudyError
from llem_runner._storage.attempt_folders import AttemptFolder
from llem_runner._storage.divided_records import StudyOrigin
from llem_runner._storage.layout import RESULT
from llem_runner._storage.manifest import ManifestEntry, StudyManifest, Totals
from llem_runner._storage.result_files import stored_result
from llem_runner._storage.run_files import list_as_unpacked

_NAME = re.compile(r"([0-9]{4,12})_c([0-9]{1,12})_.+_([0-9a-f]{8})")


def rescued_manifest(attempt: AttemptFolder, origin: StudyOrigin) -> StudyManifest:
    """Return a manifest with the runs of which the attempt has results.

    Args:
        attempt: its folder.
        origin: of its shard.

    Raises:
        StudyError: the folder cannot be read.
    """
    entries = tuple(_entries(attempt))
    return StudyManifest(
        study_name=origin.study_name,
        study_design_hash=origin.study_design_hash,
        versions=origin.versions,
        host="",
        pid=0,
        status="interrupted",
        started_at=origin.created_at,
        ended_at=None,
        totals=Totals(pending=0, running=len(entries), completed=0, failed=0, interrupted=0),
        entries=entries,
    )


def _entries(attempt: AttemptFolder) -> Iterator[ManifestEntry]:
    try:
        paths = list_as_unpacked(attempt.path)
    except OSError as error:
        raise StudyError(f"{attempt.path} cannot be read: {error.strerror}") from error
    for path in paths:
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        with contextlib.suppress(StudyError):  # it has no result, or a damaged one
            result = stored_result(path / RESULT)
            if result.measurement_config_hash.startswith(match[3]):
                yield ManifestEntry(
                    index=int(match[1]),
                    cycle=int(match[2]),
                    config_hash=result.measurement_config_hash,
                    label="",  # the plan of the study has it
                    status="running",  # as if its process was killed just then
                    attempts=1,
                    started_at=result.started_at,
                    ended_at=result.ended_at,
                    session=attempt.number,
                )
