"""The structs of `manifest.json` and `study_result.json`, and how to write them.

`llem_runner.read_manifest` and `llem_runner.read_study_result` read the files; docs/files.md describes
every field.
"""

from llem_runner._storage.atomic_files import encode_json
from llem_runner._storage.manifest import ManifestEntry, StudyManifest
from llem_runner._storage.study_result import (
    Comparison,
    Comparisons,
    FailedRun,
    MeasurementProtocol,
    Outlier,
    PointSummary,
    Skipped,
    Statistics,
    StudySummary,
)

__all__ = [
    "Comparison",
    "Comparisons",
    "FailedRun",
    "ManifestEntry",
    "MeasurementProtocol",
    "Outlier",
    "PointSummary",
    "Skipped",
    "Statistics",
    "StudyManifest",
    "StudySummary",
    "encode_json",
]
