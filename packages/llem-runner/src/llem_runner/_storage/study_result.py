"""The content of `study_result.json`: statistics per point, and the paths of all results."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from llem_config.foreign_files import shown
from llem_runner._errors import StudyError
from llem_runner._storage.atomic_files import read_json
from llem_runner._storage.comparison_records import Comparisons, Drift, NeighbourEffects, Outlier
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyStatus
from llem_runner._storage.measurement_protocol import MeasurementProtocol
from llem_runner._storage.node_figures import NodeEnergy
from llem_runner._storage.point_quality import PointQuality
from llem_runner._storage.stored_values import is_result_of_run
from llem_runner._storage.study_folder import check_study_folder
from llem_runner._storage.study_repr import study_repr


class Statistics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure of one point over its cycles."""

    n: int
    """Number of cycles that have the figure."""
    mean: float
    median: float
    sd: float | None
    """Sample standard deviation; None for a single cycle."""
    ci95_low: float | None = None
    """95 % confidence interval of the geometric mean, by Student's t; None for fewer than 3
    cycles."""
    ci95_high: float | None = None
    geometric_mean: float | None = None
    """None if a value is not positive, and in a file without this field."""
    lag1: float | None = None
    """Lag-1 autocorrelation of the runs in the order in which they ran; None for fewer than 4. If
    it is well above 0, the interval is too narrow."""


class PointSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One point over its cycles. A figure is None if no cycle has it."""

    config_hash: str
    label: str
    n_completed: int
    n_failed: int
    energy_per_output_token_j: Statistics | None
    energy_total_j: Statistics | None
    energy_bound_share: float | None
    """The largest error bound of any run, as a share of its energy."""
    energy_estimated_j: Statistics | None
    """Modelled, not measured."""
    tokens_per_second: Statistics | None
    time_to_first_token_s: Statistics | None
    runs_needed: dict[str, int | None] = {}
    """How many runs a 95 % interval with a half-width of `0.5%`, `1%`, `2%` of the mean needs at
    the observed spread of joules per output token, or of tokens per second if no energy was
    measured, in the runs that are not of `n_other_machine`; empty if there is no such spread. None: more
    than 1000."""
    runs_needed_high: dict[str, int | None] = {}
    """The same at the upper limit of the spread: the true spread is below it in 80 % of cases. A few
    runs say little about their spread, so the number needed is between the two."""
    n_planned: int | None = None
    """Number of planned runs; None in a file without this field, like the next three."""
    n_flagged: int = 0
    """Number of runs whose headline figure is flagged: it may be wrong by more than its error."""
    levels: dict[str, str] = {}
    """The level of each factor of the sweep at this point."""
    energy_per_output_token_with_host_j: Statistics | None = None
    """Joules of GPUs and processor together; None if no run metered both, and in a file without this
    field. No ratio uses it."""
    compared: Statistics | None = None
    """The headline figure over the compared cycles only; the ratios are those of its geometric
    means. None if the point is not compared."""
    quality: PointQuality | None = None
    """How good the answers are beside other points; None if no run says so, and in a file without
    this field."""
    n_other_machine: int = 0
    """Number of its runs on another kind of machine than most runs of the study. The statistics have
    them, `compared` and all ratios do not; 0 in a file without this field."""


_FOLDER = "_folder"


class StudySummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts and totals of a study."""

    planned: int
    completed: int
    failed: int
    skipped: int
    """Number of points that the backend cannot run; see `skipped`."""
    wall_time_s: float | None
    """Duration of all runs and of the gaps between them, by the monotonic clock; None if that of
    a run is not known."""
    device_hours: float | None = None
    """Hours of the metered devices in all runs and gaps: an hour on two GPUs is 2; None if the
    duration of a run is not known, and in an older file."""
    total_energy_j: float | None
    """Sum over all measured windows; None if any completed run has no energy."""
    emissions_gco2: float | None
    """By the carbon intensity and PUE in the settings; None if the intensity is not set."""
    electricity_cost: float | None
    """By the price per kWh in the settings, in its currency; None if it is not set."""
    points: tuple[PointSummary, ...]
    warnings: dict[str, int]
    """Every measurement warning, and the number of runs that have it."""
    comparisons: Comparisons | None = None
    """None in a file of format 1."""
    outliers: tuple[Outlier, ...] = ()
    drift: Drift | None = None
    """None for fewer than 3 complete cycles or 2 points, in a merged study, and in a file without
    this field."""
    neighbours: NeighbourEffects | None = None
    """How the other GPUs of the machine changed the power of runs; None if there were none, and in
    a file without this field."""
    node_energy: tuple[NodeEnergy, ...] = ()
    """For attempts at the shards of a divided study, the energy of the whole machine by the accounting
    of the cluster; empty if no cluster was asked, and in a file without this field."""
    input_changes: tuple[str, ...] = ()
    """A sentence for each model, adapter or data set that changed between runs; then nothing is
    compared. Always empty in a file of format 1, 2 or 3."""


class Skipped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A point that the backend cannot run."""

    config: dict[str, Any]
    reason: str


class FailedRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run without a result."""

    index: int
    cycle: int
    config_hash: str
    label: str
    error_type: str | None
    error_message: str | None


class StudyResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """The result of a study.

    Format 2 added intervals, comparisons and outliers, format 3 three fields of the protocol,
    format 4 the executors and `input_changes`. Each added field has a default, so older files still load.
    """

    schema_version: Literal[1, 2, 3, 4] = 4
    study_name: str
    study_design_hash: str
    status: StudyStatus
    measurement_protocol: MeasurementProtocol
    result_files: tuple[str, ...]
    """Paths relative to the study folder, in execution order."""
    summary: StudySummary
    skipped: tuple[Skipped, ...]
    failed: tuple[FailedRun, ...]
    n_duplicates: int
    n_excluded: int

    __repr__ = study_repr

    @property
    def folder(self) -> Path | None:
        """Return the study's folder; None for a copy, or a result that was not read from a folder.

        It is no field, because the file `study_result.json` holds no path of this machine.
        """
        folder: Path | None = self.__dict__.get(_FOLDER)
        return folder

    def stored_in(self, folder: Path) -> StudyResult:
        """Return this result, which now knows its folder."""
        msgspec.structs.force_setattr(self, _FOLDER, folder)
        return self


def read_study_result(folder: str | Path) -> StudyResult:
    """Read the result of a study folder.

    Raises:
        StudyError: not a study folder, or the file does not exist yet, or is damaged.
    """
    check_study_folder(Path(folder))
    path = Layout(Path(folder)).study_result
    result = read_json(path, StudyResult)
    for number, file in enumerate(result.result_files):
        if not is_result_of_run(file):
            raise StudyError(
                f"{path} is damaged: result_files[{number}]: expected the result of a run in this "
                f"folder, found {shown(file)}; delete it and resume the study to write it again"
            )
    return result.stored_in(Path(folder))
