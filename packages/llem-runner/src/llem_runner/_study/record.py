"""Writes the record of a study, `study_result.json`, once its manifest is closed."""

from __future__ import annotations

from llem_config import Settings, StudyConfig
from llem_runner._analysis.summary import summarise
from llem_runner._storage.atomic_files import encode_json, write_atomically
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest_writer import ManifestWriter
from llem_runner._storage.study_result import StudyResult


def write_record(
    study: StudyConfig,
    layout: Layout,
    manifest: ManifestWriter,
    settings: Settings,
    *,
    limits_enforced: bool,
) -> StudyResult:
    """Write the statistics over all runs of a study, and return them.

    Raises:
        StudyError: a result cannot be read, or the file cannot be written.
    """
    result = summarise(study, layout, manifest.manifest, settings, limits_enforced=limits_enforced)
    content = encode_json(result)
    write_atomically(layout.study_result, content)
    manifest.record_study_result(content)
    return result.stored_in(layout.folder)
