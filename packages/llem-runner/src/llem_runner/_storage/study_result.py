"""The content of `study_result.json`: statistics per point, and the paths of all results."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from llem_runner._storage.atomic_files import read_json
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyStatus
from llem_runner._storage.study_folder import check_study_folder


class Statistics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure of one point over its cycles."""

    n: int
    """Number of cycles that have the figure."""
    mean: float
    median: float
    sd: float | None
    """Sample standard deviation; None for a single cycle."""
    ci95_low: float | None = None
    """95 % confidence interval of the geometric mean, by Student's t; None for a single cycle."""
    ci95_high: float | None = None
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
    measured. None: more than 1000."""


Figure = Literal["energy_per_output_token_j", "tokens_per_second"]


class Outlier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run that is far from the other runs of its point. It is listed, but never dropped."""

    index: int
    cycle: int
    label: str
    figure: Figure
    ratio: float
    """The figure of the run over the geometric mean of the other runs of its point."""
    warnings: tuple[str, ...]
    """The measurement warnings of the run, such as throttling; empty if no cause is known."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One point against the reference."""

    config_hash: str
    label: str
    ratio: float
    """Figure of the point over that of the reference: geometric means over the compared cycles."""
    ci95_low: float
    """Simultaneous interval: in 95 % of studies, all intervals of the study hold."""
    ci95_high: float
    distinguishable: bool
    """Whether the interval excludes 1."""


class Comparisons(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The points of a study compared with the best one, cycle by cycle."""

    figure: Figure
    """Joules per output token, or tokens per second if no energy was measured."""
    reference_hash: str | None = None
    """The best point over the compared cycles; None if nothing is compared."""
    reference_label: str | None = None
    points: tuple[Comparison, ...] = ()
    """Every other compared point, best first."""
    n_blocks: int
    """Number of compared cycles: those in which every compared point has the figure."""
    residual_cv: float | None = None
    """Relative spread of the runs once point and cycle effects are removed."""
    left_out: tuple[str, ...]
    """Labels of the points with too few results to compare."""
    n_unused: int
    """Number of runs that have the figure but are not compared, because their point is left out
    or their cycle is incomplete; all runs if nothing is compared."""
    method: str
    rule: str
    """What is left out and when two points differ. It does not depend on the values measured."""
    caveats: tuple[str, ...] = ()
    """Possible errors of the ratios that the intervals do not cover."""
    error_budget: dict[str, str]
    """For each kind of error, whether it cancels in a ratio of two points."""
    reason: str | None = None
    """Why nothing is compared."""


class StudySummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts and totals of a study."""

    planned: int
    completed: int
    failed: int
    skipped: int
    """Number of points that the backend cannot run; see `skipped`."""
    wall_time_s: float
    """From the start of the first run to the end of the last, gaps included."""
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


class MeasurementProtocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the study was run: the values in effect, from file, options and settings."""

    n_cycles: int
    cycle_order: str
    shuffle_seed: int
    config_gap_seconds: float
    cycle_gap_seconds: float
    gap_until_temperature_c: float | None
    gap_within_c: float | None = None
    gap_at_most_seconds: float | None = None
    """Maximum length of a gap under both conditions above. `gap_within_c`, this field and
    `stall_seconds` are None in a file of format 1 or 2."""
    stall_seconds: float | None = None
    timeout_seconds: float | None
    """None if runs were measured in the calling process, where no timeout can be enforced."""
    energy_sources: tuple[str, ...]
    """Sources that the completed runs used; empty if nothing was metered."""


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


class StudyResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result of a study.

    Format 2 added intervals, comparisons and outliers, format 3 three fields of the protocol. Each
    added field has a default, so older files still load.
    """

    schema_version: Literal[1, 2, 3] = 3
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


def read_study_result(folder: str | Path) -> StudyResult:
    """Read the result of a study folder.

    Raises:
        StudyError: not a study folder, or the file does not exist yet, or is damaged.
    """
    check_study_folder(Path(folder))
    return read_json(Layout(Path(folder)).study_result, StudyResult)
