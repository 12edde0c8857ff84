"""The structs of a comparison of two studies.

All ratios are dimensionless: the figure of the new study over that of the base. Intervals are 95 %
intervals. `None` means that the studies cannot tell; `reason` then says why.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from llem_report.records import Interval

__all__ = [
    "ComparedStudy",
    "EnvironmentDifference",
    "FactorComparison",
    "FieldDifference",
    "PointComparison",
    "StudyComparison",
    "StudyVerdict",
    "UnpairedPoint",
]

StudyVerdict = Literal["worse", "better", "same", "cannot_be_told"]


class ComparedStudy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of two studies that are compared."""

    name: str
    folder: str
    study_design_hash: str
    status: str
    """Of the manifest: running, completed, failed, interrupted, aborted."""
    n_points: int
    n_cycles: int
    """Number of complete cycles that are compared: those in which every paired point has the
    figure."""
    n_runs: int
    """Runs of these cycles."""
    mean: float | None
    """Geometric mean of the figure over the paired points and these cycles."""
    cycle_sd: float | None
    """Standard deviation of the logarithms of the cycle means; None for fewer than 2 cycles."""


class EnvironmentDifference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A property of machine, software, protocol or input files that two studies do not share."""

    kind: Literal["machine", "meter", "software", "protocol", "inputs"]
    what: str
    """Such as `power limit of GPU 0` or `package torch`."""
    base: tuple[str, ...]
    """All values that the runs of a study have; () if none reports it."""
    new: tuple[str, ...]


class FieldDifference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A field of the configuration in which two points differ."""

    field: str
    base: str | None
    """None if the field is not set."""
    new: str | None


class UnpairedPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A point that only one of two studies has, or that has too few results."""

    study: Literal["base", "new"]
    config_hash: str
    label: str
    reason: str
    nearest: str | None = None
    """Label of the point of the other study that differs in the fewest fields."""
    differences: tuple[FieldDifference, ...] = ()
    """From this nearest point."""


class PointComparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A point in two studies."""

    config_hash: str
    """In the new study; the base has another one if fields are ignored."""
    label: str
    n_base: int
    """Runs of the base that have the figure."""
    n_new: int
    ratio: Interval
    """Figure of the new study over that of the base; the interval holds simultaneously with those
    of all points."""
    ratio_to_overall: Interval
    """`ratio` over the ratio of all points, with cycle effects removed: which points changed more
    than the others."""
    verdict: StudyVerdict
    """Of `ratio`."""


class FactorComparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The effect of a factor in two studies."""

    key: str
    base: Interval | None
    """Ratio of two levels, at least 1, as in `FactorEffect.effect`; None if it cannot be told."""
    new: Interval | None
    base_rank: tuple[int, int] | None
    """Lowest and highest rank that the data allow; 1 matters most."""
    new_rank: tuple[int, int] | None
    base_best: str | None
    """Best level."""
    new_best: str | None
    changed: bool | None
    """Whether the ratio of two of its levels has intervals that do not overlap; None if there are no
    intervals, or if the studies have different points."""


class StudyComparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A study compared with an earlier one: the base."""

    schema_version: Literal[1] = 1
    base: ComparedStudy
    new: ComparedStudy
    figure: str
    """Name of the compared figure, as in `Analysis.figure`."""
    unit: str
    lower_is_better: bool
    verdict: StudyVerdict
    text: str
    """The verdict as a sentence."""
    ratio: Interval | None
    """Figure of the new study over that of the base, over all paired points; None if the studies
    were metered by different meters. The unit of repetition is a whole cycle."""
    gate: float | None
    """What counts as worse: a worsening above this share, such as 0.02. None: any."""
    same_within: float | None
    """Share by which the studies differ at most, if the verdict is `same`."""
    sensor_gain: float
    """Share by which the sensors of two boards may differ, which the verdict takes into account; 0
    if both studies were metered on the same devices."""
    cycles_needed: int | None
    """Complete cycles of each study that would probably allow a verdict; None if it is there, or if
    no number up to 1000 would do."""
    differences: tuple[EnvironmentDifference, ...]
    ignored: tuple[str, ...]
    """Fields of the configuration in which paired points may differ."""
    points: tuple[PointComparison, ...]
    """Paired points, in the order of the new study; () if they were metered by different meters."""
    unpaired: tuple[UnpairedPoint, ...]
    factors: tuple[FactorComparison, ...]
    """The factors of both studies, in the order of the new study's ranking; () if the studies were
    metered by different meters."""
    method: str
    caveats: tuple[str, ...] = ()
    """Possible errors that the intervals do not cover."""
    reason: str | None = None
    """Why it cannot be told whether the studies differ."""
