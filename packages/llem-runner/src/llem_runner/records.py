"""The structs of `manifest.json` and `study_result.json`, how to write them, and what they imply.

`llem_runner.read_manifest` and `llem_runner.read_study_result` read the files; docs/files.md describes
every field.
"""

from llem_runner._analysis.answer_quality import ScoredPoint, point_qualities, worse_answers
from llem_runner._analysis.caveats import caveat_of_unfinished
from llem_runner._analysis.connections import measured_apart as caveat_of_times
from llem_runner._analysis.looks import alpha_after
from llem_runner._analysis.looks import caveat as caveat_of_looks
from llem_runner._analysis.machine_kinds import MachineKind, OtherKinds, machine_kind, other_kinds
from llem_runner._analysis.meters import meter_of
from llem_runner._provenance.code_version import CodeVersion
from llem_runner._provenance.start import Start, packages_at
from llem_runner._storage.atomic_files import encode_json
from llem_runner._storage.attempt_process import AttemptProcess
from llem_runner._storage.attempt_record import AttemptRecord
from llem_runner._storage.comparison_records import (
    ComparedBlock,
    Comparison,
    Comparisons,
    Drift,
    NeighbourChange,
    NeighbourEffects,
    Outlier,
)
from llem_runner._storage.divided_records import PlanFile, ShardFile, StudyOrigin
from llem_runner._storage.manifest import Extension, ManifestEntry, StudyManifest, Totals
from llem_runner._storage.measurement_protocol import MeasurementProtocol
from llem_runner._storage.node_figures import NodeEnergy
from llem_runner._storage.point_quality import PointQuality
from llem_runner._storage.study_list import ListedStudy
from llem_runner._storage.study_result import (
    FailedRun,
    PointSummary,
    Skipped,
    Statistics,
    StudySummary,
)

__all__ = [
    "AttemptProcess",
    "AttemptRecord",
    "CodeVersion",
    "ComparedBlock",
    "Comparison",
    "Comparisons",
    "Drift",
    "Extension",
    "FailedRun",
    "ListedStudy",
    "MachineKind",
    "ManifestEntry",
    "MeasurementProtocol",
    "NeighbourChange",
    "NeighbourEffects",
    "NodeEnergy",
    "OtherKinds",
    "Outlier",
    "PlanFile",
    "PointQuality",
    "PointSummary",
    "ScoredPoint",
    "ShardFile",
    "Skipped",
    "Start",
    "Statistics",
    "StudyManifest",
    "StudyOrigin",
    "StudySummary",
    "Totals",
    "alpha_after",
    "caveat_of_looks",
    "caveat_of_times",
    "caveat_of_unfinished",
    "encode_json",
    "machine_kind",
    "meter_of",
    "other_kinds",
    "packages_at",
    "point_qualities",
    "worse_answers",
]
