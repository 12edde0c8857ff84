"""`study_result.json`: what a study found, in figures per point and as paths to every result."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from llem_runner._storage.atomic_files import read_json
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyStatus


class Statistics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure of one point over its cycles."""

    n: int
    """Cycles that have the figure."""
    mean: float
    median: float
    sd: float | None
    """Sample standard deviation; None with a single cycle."""
    ci95_low: float | None = None
    """95 % confidence interval of the geometric mean, Student's t; None with a single cycle."""
    ci95_high: float | None = None
    lag1: float | None = None
    """Autocorrelation of the runs in the order in which they ran; None for fewer than 4. Well
    above 0, the interval is too narrow."""


class PointSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One point over its cycles. A figure that no cycle has is None."""

    config_hash: str
    label: str
    n_completed: int
    n_failed: int
    energy_per_output_token_j: Statistics | None
    energy_total_j: Statistics | None
    energy_bound_share: float | None
    """Largest error bound of any run, as a share of its energy."""
    energy_estimated_j: Statistics | None
    """Modelled, not measured."""
    tokens_per_second: Statistics | None
    time_to_first_token_s: Statistics | None
    runs_needed: dict[str, int | None] = {}
    """For a 95 % half-width of `0.5%`, `1%`, `2%` of the mean at the spread that was seen, of
    joules per output token or, where there are none, tokens per second. None: more than 1000."""


Figure = Literal["energy_per_output_token_j", "tokens_per_second"]


class Outlier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run that is far from the others of its point. It is named, and stays in every figure."""

    index: int
    cycle: int
    label: str
    figure: Figure
    ratio: float
    """Its figure over the geometric mean of the point's other runs."""
    warnings: tuple[str, ...]
    """What the run itself said, such as throttling; empty where no cause is known."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One point against the reference."""

    config_hash: str
    label: str
    ratio: float
    """Its figure over the reference's: geometric means over the compared cycles."""
    ci95_low: float
    """Simultaneous interval: all of the study's hold at once in 95 % of studies."""
    ci95_high: float
    distinguishable: bool
    """The interval leaves out 1."""


class Comparisons(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The points of a study against its best one, cycle by cycle."""

    figure: Figure
    """Joules per output token, or tokens per second where no energy was measured."""
    reference_hash: str | None = None
    """The best point over the compared cycles; None where nothing is compared."""
    reference_label: str | None = None
    points: tuple[Comparison, ...] = ()
    """Every other compared point, the best first."""
    n_blocks: int
    """Cycles in which every compared point has the figure: the ones that are compared."""
    residual_cv: float | None = None
    """Spread of a run once its point and its cycle are taken out, as a share."""
    left_out: tuple[str, ...]
    """Labels of points with too few results to be compared."""
    n_unused: int
    """Runs that have the figure and take no part, of those points or of incomplete cycles; all
    of them where nothing is compared."""
    method: str
    rule: str
    """What is left out and when two points differ; fixed before any result is seen."""
    caveats: tuple[str, ...] = ()
    """What may make these ratios wrong in a way that the intervals do not show."""
    error_budget: dict[str, str]
    """Each error by name: whether it cancels in a ratio of two points."""
    reason: str | None = None
    """Why nothing is compared."""


class StudySummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts and totals of a study."""

    planned: int
    completed: int
    failed: int
    skipped: int
    """Points that the backend cannot run; see `skipped`."""
    wall_time_s: float
    """From the first start to the last end of a run, gaps included."""
    total_energy_j: float | None
    """Of all measured windows; None if any completed run has no energy."""
    emissions_gco2: float | None
    """With this machine's carbon intensity and PUE; None where it is not set."""
    electricity_cost: float | None
    """In the currency of this machine's price per kWh; None where it is not set."""
    points: tuple[PointSummary, ...]
    warnings: dict[str, int]
    """Every warning of a measurement, and how many runs have it."""
    comparisons: Comparisons | None = None
    """None in a file of format 1."""
    outliers: tuple[Outlier, ...] = ()


class MeasurementProtocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the study was run: the effective values, whichever layer set them."""

    n_cycles: int
    cycle_order: str
    shuffle_seed: int
    config_gap_seconds: float
    cycle_gap_seconds: float
    gap_until_temperature_c: float | None
    gap_within_c: float | None = None
    gap_at_most_seconds: float | None = None
    """For both of the above; these two and `stall_seconds` are None in a file of format 1 or 2."""
    stall_seconds: float | None = None
    timeout_seconds: float | None
    """None where the run was measured in the calling process, which nothing can kill."""
    energy_sources: tuple[str, ...]
    """Sources that the completed runs really used; empty where nothing was metered."""


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
    """The record of a study.

    Format 1 had no intervals, comparisons and outliers; format 2 adds them, each with a default.
    Format 3 adds three fields of the protocol.
    """

    schema_version: Literal[1, 2, 3] = 3
    study_name: str
    study_design_hash: str
    status: StudyStatus
    measurement_protocol: MeasurementProtocol
    result_files: tuple[str, ...]
    """Relative to the study's folder, in execution order."""
    summary: StudySummary
    skipped: tuple[Skipped, ...]
    failed: tuple[FailedRun, ...]
    n_duplicates: int
    n_excluded: int


def read_study_result(folder: str | Path) -> StudyResult:
    """Read the result of a study folder.

    Raises:
        StudyError: there is none yet, or it is damaged.
    """
    return read_json(Layout(Path(folder)).study_result, StudyResult)
