"""`study_result.json`: what a study found, in figures per point and as paths to every result."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from llem_runner._files import read_json
from llem_runner._layout import Layout
from llem_runner._manifest import StudyStatus


class Statistics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure of one point over its cycles."""

    n: int
    """Cycles that have the figure."""
    mean: float
    median: float
    sd: float | None
    """Sample standard deviation; None with a single cycle."""


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


class MeasurementProtocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the study was run: the effective values, whichever layer set them."""

    n_cycles: int
    cycle_order: str
    shuffle_seed: int
    config_gap_seconds: float
    cycle_gap_seconds: float
    gap_until_temperature_c: float | None
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
    """The record of a study. Format 1 is the first one."""

    schema_version: Literal[1] = 1
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
