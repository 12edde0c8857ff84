"""The structs of an analysis: what a study allows to conclude.

All ratios are dimensionless: the figure of one level, point or study over that of another. Intervals
are 95 % intervals. `None` means that the study cannot tell; `reason` then says why.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from llem_runner.records import PointQuality

__all__ = [
    "Analysis",
    "Dependence",
    "Estimate",
    "FactorEffect",
    "Interval",
    "LevelContext",
    "LevelEffect",
    "LevelPair",
    "PointEstimate",
    "PointPhase",
    "RunEstimate",
    "ShareTerm",
    "Verdict",
]

Verdict = Literal["matters", "no_effect_found", "cannot_be_told"]


class Interval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ratio with its interval."""

    ratio: float
    ci95_low: float | None = None
    """None, like `ci95_high`, if the study allows no interval."""
    ci95_high: float | None = None


class LevelPair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two levels of a factor, compared where all other choices are equal."""

    factor: str
    a: str
    b: str
    ratio: Interval
    """Figure of `a` over that of `b`; the interval holds simultaneously with those of all pairs."""
    n_contexts: int
    """Number of combinations of the other factors in which both levels were measured."""
    n_points: int


class LevelContext(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A level in one combination of the other factors."""

    context: str
    """Label of the combination, such as `precision=bf16 attention=sdpa`."""
    ratio: float
    """Figure over that of the best level, if what the levels of this context have in common is
    taken out. Over the contexts of a full grid, the mean is the ratio of the level."""


class LevelEffect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A level of a factor beside the best level, everything else equal."""

    level: str
    ratio: Interval
    """Figure of the level over that of the best level; 1 without interval for the best level."""
    n_points: int
    contexts: tuple[LevelContext, ...] = ()


class FactorEffect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much one factor matters."""

    key: str
    """As in the study file, such as `pytorch.batch_size` or `attention`."""
    numeric: bool
    verdict: Verdict
    effect: Interval | None
    """Ratio of the worst level to the best, or of the best to the worst if a larger figure is
    better: at least 1. `ci95_high` is the largest ratio of any pair that the data allow, `ci95_low`
    at least 1."""
    best: str | None
    worst: str | None
    rank_low: int | None
    """The factor has a rank from `rank_low` to `rank_high`; 1 matters most."""
    rank_high: int | None
    share: float | None
    """Share of the variance of the points' logarithms, 0 to 1: main effect and half of the two-way
    interactions. None if it is not known; see `Analysis.shares_reason`."""
    levels: tuple[LevelEffect, ...]
    """Levels of numbers in order of the numbers, others in order of the study file."""
    note: str | None = None
    """Such as `falls at every step` or which nested factors were averaged."""
    reason: str | None = None
    """Why it cannot be told whether the factor matters."""

    @property
    def ranks(self) -> tuple[int, ...]:
        """Return its rank, or the first and the last of several; () if it has none."""
        ends = (self.rank_low, self.rank_high)
        return tuple(dict.fromkeys(rank for rank in ends if rank is not None))


class ShareTerm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The share of the variance of one main effect, or of one two-way interaction."""

    factors: tuple[str, ...]
    """One factor for its main effect, two for their interaction."""
    share: float
    """0 to 1."""


class Dependence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ratio of two levels of a factor at each level of another factor."""

    factor: str
    a: str
    b: str
    other: str
    """The factor that the ratio depends on."""
    levels: tuple[str, ...]
    """Levels of `other`."""
    ratios: tuple[Interval, ...]
    """Figure of `a` over that of `b` at each of `levels`."""
    flips: bool
    """Whether `a` is better at one level of `other` and `b` at another."""
    text: str
    """The same as a sentence."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure of a point over its runs."""

    value: float
    """Geometric mean."""
    ci95_low: float | None = None
    """95 % interval of this figure alone: several figures are not adjusted to hold at once. None,
    like `ci95_high`, for fewer than 3 runs."""
    ci95_high: float | None = None


class PointPhase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of its device prefill or decode used at a point, for explanation only."""

    phase: str
    """`prefill` or `decode`."""
    mfu: float | None
    """Share of the measured peak of matrix products: arithmetic mean over the runs that have it."""
    mbu: float | None
    """Share of the measured peak of the memory, likewise."""
    bound_by: tuple[str, ...]
    """`compute`, `memory` or `host`; several if the runs differ, none if that is not known."""


class PointEstimate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One point of the study."""

    config_hash: str
    label: str
    levels: dict[str, str]
    """Factor to level; a factor that does not exist at this point is left out."""
    n_runs: int
    """Runs that have the figure of merit, and whose machine is of the kind that most runs have."""
    n_planned: int
    n_flagged: int
    """Runs whose figure of merit has a quality other than `ok`."""
    value: float | None
    """Figure of merit, geometric mean, in `Analysis.unit`."""
    ci95_low: float | None
    ci95_high: float | None
    ratio_to_best: Interval | None
    energy_per_output_token_j: float | None
    tokens_per_second: float | None
    tokens_per_second_low: float | None
    """95 % interval, like that of `value`."""
    tokens_per_second_high: float | None
    time_to_first_token_s: float | None
    time_to_first_token_low_s: float | None = None
    """95 % interval, like that of `value`."""
    time_to_first_token_high_s: float | None = None
    prefill_energy_per_token_j: float | None = None
    """Per input token; None, like `decode_energy_per_token_j`, unless the phases were measured."""
    decode_energy_per_token_j: float | None = None
    """Per output token."""
    on_front: bool
    """Whether no other point is better in both energy and speed."""
    front_is_certain: bool
    """Whether that holds with the intervals apart."""
    on_first_token_front: bool = False
    """Whether no other point is better in both energy and time to the first token."""
    first_token_front_is_certain: bool = False
    """Whether that holds with the intervals apart."""
    figures: dict[str, Estimate] = {}
    """Further figures by name, such as `energy_per_1000_requests_wh`; without those that no run of
    the point has."""
    power_limited_share: float | None = None
    """Share of the time at the power limit, 0 to 1: arithmetic mean over the runs. None if the
    driver does not report it."""
    quality: PointQuality | None = None
    """How good the answers are beside those of other points of the same model; None if no run says
    so."""
    inter_token_latency_p99_s: float | None = None
    """Of the time between tokens, 99 % quantile: geometric mean over the runs."""
    phases: tuple[PointPhase, ...] = ()
    """Those of which anything is known."""
    n_other_machine: int = 0
    """Runs on another kind of machine than most. They are in no ratio, and in the figures only of a
    point that has no other runs."""


class RunEstimate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One planned run."""

    index: int
    cycle: int
    config_hash: str
    label: str
    status: Literal["completed", "failed", "pending", "running", "interrupted"]
    quality: Literal["ok", "flagged", "missing"]
    """Of the figure of merit; `missing` if the run has none."""
    value: float | None
    ratio_to_point: float | None
    """Value over the geometric mean of its point; None if the value is not in this mean."""
    is_outlier: bool
    started_at: str | None
    reasons: tuple[str, ...]
    """Why the figure is flagged or missing, or why the run failed."""
    energy_bound_share: float | None = None
    """Maximum error of the total energy over this energy; None if the source has no bound."""
    gpu_temperature_c: float | None = None
    """Of the hottest metered GPU just before the run; None if no GPU reported it."""
    other_machine: str | None = None
    """In what its machine differs from the kind that most runs have, so that the run is not compared;
    None if it does not."""


class Analysis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a study allows to conclude about its factors."""

    schema_version: Literal[1] = 1
    study_name: str
    study_design_hash: str
    status: str
    """Of the manifest: running, completed, failed, interrupted, aborted."""
    figure: str
    """Name of the figure of merit, a field of `result.json`, such as `energy_per_output_token_j`."""
    unit: str
    """Such as `J/token`."""
    lower_is_better: bool
    by: Literal["axis", "field"]
    """Whether factors are the axes of the study file, or the fields that differ."""
    n_points: int
    n_cycles: int
    n_runs_planned: int
    n_runs_used: int
    """Those that are compared."""
    n_runs_failed: int
    n_runs_pending: int
    """Not started yet, or running."""
    finding: str
    """One sentence that says which choice matters most, or why that cannot be told."""
    factors: tuple[FactorEffect, ...]
    """The factor that matters most first; ties as their effects."""
    level_pairs: tuple[LevelPair, ...]
    dependences: tuple[Dependence, ...]
    """Flips first, then the others with the largest difference first; at most 10 others."""
    flips_note: str | None = None
    """If no choice flips with another one: how large a flip would have been seen, or why that
    cannot be told."""
    shares_of_rest: dict[str, float]
    """Shares that belong to no single factor: `three and more together`, `not attributable`."""
    shares_reason: str | None
    """Why there are no shares, such as a share above 100 %."""
    share_terms: tuple[ShareTerm, ...] = ()
    """Of each main effect and of each pair of factors whose levels are combined; empty without
    shares. A factor that is nested in another one has no interaction with it."""
    detectable_ratio: float | None
    """Two points that differ by less than this ratio, such as 1.02, cannot be told apart."""
    points: tuple[PointEstimate, ...]
    """In the order of the study."""
    runs: tuple[RunEstimate, ...]
    """All planned runs, in order of their index."""
    method: str
    """How the errors were found, in sentences."""
    caveats: tuple[str, ...] = ()
    """Possible errors that the intervals do not cover."""
    left_out: tuple[str, ...] = ()
    """What takes no part, a sentence each: runs on another kind of machine than most, choices with one
    level, files that cannot be read."""
    reason: str | None = None
    """Why there is no ranking; ratios without intervals may be there all the same."""
