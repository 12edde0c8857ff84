"""The points of a study compared with one another, as `study_result.json` has it."""

from __future__ import annotations

from typing import Literal

import msgspec

Figure = Literal["energy_per_output_token_j", "tokens_per_second"]


class Outlier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run that is far from the other runs of its point. It is listed, but never dropped."""

    index: int
    cycle: int
    label: str
    figure: Figure
    ratio: float
    """The figure of the run over the geometric mean of the other runs of its point, both as measured. The
    test of outliers removes the effects of the cycles, so other runs may be further from 1."""
    warnings: tuple[str, ...]
    """The measurement warnings of the run, such as throttling; empty if no cause is known."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One point against the reference."""

    config_hash: str
    label: str
    ratio: float
    """Figure of the point over that of the reference: geometric means over the compared blocks,
    adjusted for the blocks that a point did not run in."""
    ci95_low: float
    """Simultaneous interval: in 95 % of studies, all intervals of the study hold, also if 2 % of the
    runs are off by 5 to 10 %."""
    ci95_high: float
    distinguishable: bool
    """Whether the interval excludes 1."""


class ComparedBlock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one start of the study, or one attempt at a shard, ran of one cycle."""

    cycle: int
    session: int | None
    """Which start of the study: 1 for `study run`, 2 for its first resume; None if unknown."""
    shard: int | None
    """Number of the part of a merged study; None in any other study."""
    n_runs: int
    """Number of its runs that are compared."""
    ratio: float
    """Figure of its runs over that of all blocks, once the points are taken into account."""
    ci95_low: float
    ci95_high: float
    machine: str | None = None
    """Name of the machine that ran it; None if it is not known, and in an older file."""
    devices: tuple[str, ...] = ()
    """UUIDs of the GPUs, or names of other devices, that were metered; empty in an older file."""


class Comparisons(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The points of a study compared with the best one, block by block."""

    figure: Figure
    """Joules per output token, or tokens per second if no energy was measured."""
    reference_hash: str | None = None
    """The best point over the compared cycles; None if nothing is compared."""
    reference_label: str | None = None
    points: tuple[Comparison, ...] = ()
    """Every other compared point, best first."""
    n_blocks: int
    """Number of compared blocks. A block is what one start of the study ran of one cycle."""
    blocks: tuple[ComparedBlock, ...] = ()
    """In order of their cycles; empty if nothing is compared, and in an older file."""
    residual_cv: float | None = None
    """Relative spread of the runs once point and cycle effects are removed, without points that
    spread more than the others."""
    residual_cvs: dict[str, float] = {}
    """The same of each compared point, by hash; points of like spread share it."""
    detectable_ratio: float | None = None
    """Two points of like spread whose ratio is between its inverse and this ratio cannot be told
    apart, such as 1.02; from the spread alone, before the points are compared."""
    looks: tuple[int, ...] = ()
    """Number of cycles at each earlier result after which cycles were added. The intervals are wider
    then: see `caveats`."""
    left_out: tuple[str, ...]
    """Labels of the points that are not compared, e.g. because they have too few results."""
    left_out_reasons: tuple[str, ...] = ()
    """For each of these points the reason; empty in an older file."""
    late_points: tuple[str, ...] = ()
    """For each extension whose points are not compared with the others, or through one point only, a
    sentence with the reason and what to do; and one if most runs from before it are left out, because
    their machine is of another kind."""
    left_out_runs: tuple[int, ...] = ()
    """Indices of the runs that are not compared because they ran on another kind of machine than most:
    another name, memory, power limit, default power limit or MIG of the GPU, or another processor where
    no GPU computes."""
    left_out_machines: tuple[str, ...] = ()
    """For the runs of each such machine, a sentence: how many, which, and in what the machine differs."""
    left_out_blocks: tuple[str, ...] = ()
    """In an older file: a sentence for each block on another kind of GPU. Empty in a new one."""
    distant_machines: tuple[str, ...] = ()
    """For each machine that is further from the others than these are from one another, a sentence."""
    n_unused: int
    """Number of runs that have the figure but are not compared, because their point is left out
    or no other point ran in their block, or because they are of `left_out_runs`; all runs if nothing is
    compared."""
    n_unused_other_machine: int | None = None
    """Of these, the number of runs of `left_out_runs`; None in a file without this field."""
    method: str
    rule: str
    """What is left out and when two points differ. It does not depend on the values measured."""
    caveats: tuple[str, ...] = ()
    """Possible errors of the ratios that the intervals do not cover."""
    error_budget: dict[str, str]
    """For each kind of error, whether it cancels in a ratio of two points."""
    reason: str | None = None
    """Why nothing is compared."""


class Drift(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a figure changed over the time of a study, from all compared runs together."""

    figure: Figure
    ratio: float
    """The figure at the last run over that at the first, by a straight line over time."""
    ci95_low: float
    ci95_high: float
    distinguishable: bool
    """Whether the interval excludes 1."""


class NeighbourChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the power of runs changed with that of the neighbours of their GPU."""

    ratio: float
    """Power beside the busiest neighbours over that beside the idlest, by a straight line."""
    ci95_low: float
    ci95_high: float

    @property
    def is_clear(self) -> bool:
        """Return whether the interval excludes 1."""
        return not self.ci95_low <= 1 <= self.ci95_high


class NeighbourEffects(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether runs on one GPU disturbed those on others of the same machine."""

    n_runs: int
    """Number of runs whose neighbours' power is known."""
    low_w: float
    """Least power of all neighbours together beside any of these runs."""
    high_w: float
    """Most power of them."""
    busy: NeighbourChange | None
    """Of the mean power in the window; None: too few runs, or the neighbours did the same all the
    time."""
    idle: NeighbourChange | None
    """Of the idle power with the model loaded."""
    n_processes: int
    """Most processes that computed on one neighbour."""
