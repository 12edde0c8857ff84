"""The runs of a study, cut into shards: parts that several machines can run at the same time.

A shard is a part of one cycle, and each cycle is cut anew at random. If the same points were always
together, a difference between two machines would look like a difference between points: then some
point of equal ones wins in 77 to 99 % of simulated studies (benchmarks/shard_statistics.py).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import msgspec

from llem_config import StudyConfig
from llem_runner._errors import StudyError
from llem_runner._plan.schedule import PlannedRun, schedule

MIN_POINTS, USUAL_POINTS = 5, 20
"""Of one shard. A block of k points loses about 1/k of the precision of the comparison."""
_SHARE_OF_LIMIT = 0.8
"""Of the time limit, the rest is for imports, a slow machine and the end of the last run."""


class Shard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Runs of one cycle that one process at a time works on. It never changes."""

    number: int
    """From 1; the index of a task in an array of tasks."""
    cycle: int
    """The cycle that all its runs belong to, from 1."""
    runs: tuple[int, ...]
    """Indices of its runs in the study, in the order in which they run."""


def plan_shards(
    study: StudyConfig,
    *,
    n: int | None = None,
    limit_s: float | None = None,
    seconds_per_run: float | None = None,
    runs: Sequence[PlannedRun] | None = None,
) -> tuple[Shard, ...]:
    """Return the shards of a study, numbered from 1 in the order of their cycles.

    The sizes of the shards of a cycle differ by at most one.

    Args:
        study: with every gap a number.
        n: number of shards of each cycle; None: as few as the time limit permits.
        limit_s: of one shard, in seconds; None: a shard is a cycle, unless `n` says otherwise.
        seconds_per_run: expected duration of a run in seconds, without the gap before it; None: not
            known, and then `limit_s` has no effect.
        runs: of the study, if they are known already.

    Raises:
        StudyError: the points of such shards could not be compared.
    """
    _check_order(study)
    n_points, n_cycles = len(study.experiments), study.execution.n_cycles
    per_cycle = _fewest(study, limit_s, seconds_per_run) if n is None else n
    _check_size(n_points, n_cycles, per_cycle, is_wanted=n is not None)
    runs = schedule(study) if runs is None else runs
    shards = _cut_cycles(study, runs, per_cycle, first=1)
    _check_connected(runs, shards, f"{per_cycle} shards of each cycle")
    return shards


def added_shards(
    study: StudyConfig, runs: Sequence[PlannedRun], shards: Sequence[Shard], per_cycle: int
) -> tuple[Shard, ...]:
    """Return the shards of the cycles that were added to a divided study, numbered on.

    Cycles with all points are cut as the first ones. Others, in which new points run with some old
    ones, are cut only if a shard would else have more points than any before.

    Args:
        study: with the added cycles.
        runs: all of the study, in its order.
        shards: that it has.
        per_cycle: number of shards of each of its first cycles.

    Raises:
        StudyError: the order of the runs is not shuffled, or some points could not be compared.
    """
    _check_order(study)
    n_known = sum(len(shard.runs) for shard in shards)
    new = [run for run in runs if run.index > n_known]
    n_points = len({run.config_hash for run in new})
    if n_points < len(study.experiments):
        longest = max(len(shard.runs) for shard in shards)
        per_cycle = max(1, min(math.ceil(n_points / longest), n_points // MIN_POINTS))
    added = _cut_cycles(study, new, per_cycle, first=len(shards) + 1)
    _check_connected(runs, [*shards, *added], "the added cycles")
    return added


def _cut_cycles(
    study: StudyConfig, runs: Sequence[PlannedRun], per_cycle: int, *, first: int
) -> tuple[Shard, ...]:
    """Return the shards of whole cycles, numbered from `first`."""
    by_cycle: dict[int, dict[str, int]] = {}
    for run in runs:
        by_cycle.setdefault(run.cycle, {})[run.config_hash] = run.index
    shards: list[Shard] = []
    for cycle, indices in sorted(by_cycle.items()):
        points = [point for point in study.config_hashes if point in indices]
        for part in cut(points, cycle, per_cycle, study.execution.shuffle_seed):
            own = tuple(sorted(indices[point] for point in part))
            shards.append(Shard(number=first + len(shards), cycle=cycle, runs=own))
    return tuple(shards)


def _check_connected(runs: Sequence[PlannedRun], shards: Sequence[Shard], what: str) -> None:
    """Return if every two points are compared by a shard, directly or through other points."""
    points = {run.index: run.config_hash for run in runs}
    if not _is_connected([{points[index] for index in shard.runs} for shard in shards]):
        raise StudyError(
            f"shards: {what} leave points that no shard compares with the others, directly or through a "
            "third point; use fewer shards or more cycles"
        )


def _is_connected(parts: Sequence[set[str]]) -> bool:
    """Return whether sets that overlap connect all their members."""
    reached: set[str] = set()
    left = list(parts)
    touching = left[:1]
    while touching:
        reached = reached.union(*touching)
        left = [part for part in left if not part <= reached]
        touching = [part for part in left if part & reached]
    return not left


def cut(points: Sequence[str], cycle: int, n: int, seed: int) -> list[list[str]]:
    """Return the points in `n` random parts; a cycle that is added later changes no earlier one."""
    order = random.Random(f"{seed}/shards/{cycle}").sample(points, len(points))
    small, n_large = divmod(len(order), n)
    sizes = [small + (number < n_large) for number in range(n)]
    starts = [sum(sizes[:number]) for number in range(n)]
    return [order[start : start + size] for start, size in zip(starts, sizes, strict=True)]


def precision_kept(n_points: int, n_cycles: int, per_cycle: int) -> float:
    """Return the largest share, 0 to 1, of the precision of complete blocks that such blocks can have.

    Source: the upper bound of the efficiency of a resolvable block design with r replicates of v
    points in s blocks each, (v-1)(r-1) / ((v-1)(r-1) + r(s-1)).

    Args:
        n_points: v, of the study.
        n_cycles: r, of the study.
        per_cycle: s, shards of each cycle.
    """
    kept = (n_points - 1) * (n_cycles - 1)
    lost = n_cycles * (per_cycle - 1)
    return kept / (kept + lost) if kept + lost else 1.0


def shard_seconds(study: StudyConfig, n_runs: int, seconds_per_run: float) -> float:
    """Return how long a shard of some runs is expected to take, in seconds."""
    gap_s = study.execution.config_gap_seconds or 0.0
    return n_runs * seconds_per_run + (n_runs - 1) * gap_s


def _fewest(study: StudyConfig, limit_s: float | None, seconds_per_run: float | None) -> int:
    """Return the smallest number of shards of a cycle that end within the time limit."""
    if limit_s is None or seconds_per_run is None:
        return 1
    n_points = len(study.experiments)
    usable_s = _SHARE_OF_LIMIT * limit_s
    for per_cycle in range(1, n_points + 1):
        if shard_seconds(study, math.ceil(n_points / per_cycle), seconds_per_run) <= usable_s:
            return per_cycle
    raise StudyError(
        f"a run takes about {seconds_per_run:g} s, more than the {usable_s:g} s that a shard can use "
        f"of its time limit of {limit_s:g} s; raise the limit"
    )


def _check_order(study: StudyConfig) -> None:
    order = study.execution.cycle_order
    if order != "shuffled" and len(study.experiments) > 1:
        raise StudyError(
            f"execution.cycle_order: expected shuffled for a study that is divided, found {order}; in "
            "any other order the place of a point in its shard looks like a difference between points"
        )


def _check_size(n_points: int, n_cycles: int, per_cycle: int, *, is_wanted: bool) -> None:
    """Return if shards of this size can be compared.

    Raises:
        StudyError: they cannot, or only with a loss that the user has not accepted.
    """
    if not 1 <= per_cycle <= n_points:
        raise StudyError(
            f"shards: expected 1 to {n_points} shards of each cycle, because the study has "
            f"{n_points} points, found {per_cycle}"
        )
    if per_cycle == 1:
        return
    if n_cycles < 2:
        raise StudyError(
            "shards: expected at least 2 cycles, found 1; one cycle on several machines cannot tell "
            "a difference between points from one between machines"
        )
    size = n_points // per_cycle
    if size < MIN_POINTS:
        raise StudyError(
            f"shards: expected at least {MIN_POINTS} points in a shard, found {size} ({n_points} points "
            f"in {per_cycle} shards); use fewer shards"
        )
    if size < USUAL_POINTS and not is_wanted:
        loss = 1 - precision_kept(n_points, n_cycles, per_cycle)
        raise StudyError(
            f"shards: {per_cycle} shards of each cycle would have {size} points each, which costs at "
            f"least {loss:.0%} of the precision of the comparison; to accept this, use --shards "
            f"{per_cycle}; otherwise raise the time limit"
        )
