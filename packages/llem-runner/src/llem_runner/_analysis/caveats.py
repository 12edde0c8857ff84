"""Errors of a comparison that its intervals do not cover."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise

from llem_energy.records import number_types, random_data_caveat
from llem_runner._analysis.answer_quality import qualities_of_points, worse_answers
from llem_runner._analysis.compared_runs import ComparedRuns
from llem_runner._analysis.connections import measured_apart
from llem_runner._analysis.looks import caveat as caveat_of_looks
from llem_runner._analysis.machines import devices_of
from llem_runner._analysis.trends import position_effects
from llem_runner._storage.comparison_records import Figure
from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.run_facts import MeasuredRun, metered_devices

Rows = Sequence[Sequence[int]]
"""The indices of the compared runs, one row per block."""


def caveats(
    runs: ComparedRuns,
    entries: Sequence[ManifestEntry],
    results: Mapping[int, MeasuredRun],
    looks: Sequence[int],
    outliers: Sequence[int],
) -> Iterator[str]:
    """Yield a sentence for each possible error of the ratios."""
    figure, rows = runs.figure, runs.rows
    if figure == "energy_per_output_token_j" and _changes_devices(rows, results):
        yield "the runs of a block were metered on different devices, so their gain errors do not cancel"
    if figure == "energy_per_output_token_j":
        compared_configs = [results[index].config for index in _one_run_of_each(runs)]
        if (sentence := random_data_caveat(compared_configs)) is not None:
            yield sentence
    yield from _worse_answers(rows, entries, results)
    if _is_repeated(rows, entries, results):
        yield (
            "some runs were repeated after their cycle, so the cycle effect removed may not apply "
            "to them"
        )
    started_at = {index: results[index].started_at for row in rows for index in row}
    if (sentence := measured_apart(entries, started_at)) is not None:
        yield sentence
    if (sentence := caveat_of_looks(looks)) is not None:
        yield sentence
    if (sentence := caveat_of_unfinished(entries, results)) is not None:
        yield sentence
    compared = {index for row in rows for index in row}
    n_outliers = sum(index in compared for index in outliers)
    if n_outliers:
        outlying = (
            "1 compared run is an outlier"
            if n_outliers == 1
            else (f"{n_outliers} compared runs are outliers")
        )
        yield f"{outlying} and shifts the mean of its point, which widens the intervals"
    yield from _position(runs.complete_rows, results, figure)


def _worse_answers(
    rows: Rows, entries: Sequence[ManifestEntry], results: Mapping[int, MeasuredRun]
) -> Iterator[str]:
    """Yield a sentence for each compared point whose answers are worse than those of another one."""
    compared = {index for row in rows for index in row}
    by_point: dict[str, list[ManifestEntry]] = {}
    for entry in entries:
        if entry.index in compared:
            by_point.setdefault(entry.config_hash, []).append(entry)
    labels = [group[0].label for group in by_point.values()]
    qualities = qualities_of_points(by_point, results).values()
    yield from worse_answers(zip(labels, qualities, strict=True))


def _is_repeated(
    rows: Rows, entries: Sequence[ManifestEntry], results: Mapping[int, MeasuredRun]
) -> bool:
    """Return whether a run of a cycle started after one of the next cycle of its shard.

    Newer manifests say which start of the study made a run, so such runs are in blocks of their own.
    """
    shards = {entry.index: entry.shard for entry in entries}
    sessions = {entry.index: entry.session for entry in entries}
    return any(
        max(results[index].started_at for index in row)
        > min(results[index].started_at for index in following)
        for row, following in pairwise(rows)
        if shards[row[0]] == shards[following[0]]  # shards may run at the same time
        and sessions[row[0]] is None
    )


def error_budget(rows: Rows, results: Mapping[int, MeasuredRun], figure: Figure) -> dict[str, str]:
    """Return each error in words, under the names that the result of a run uses; never a sum."""
    budget = {"statistical": "the spread between runs; the intervals cover only this error"}
    if figure == "tokens_per_second":
        return budget
    boards = {devices_of(results[index] for index in row) for row in rows}
    if _changes_devices(rows, results):
        gain = "does not cancel, because the runs of a block were metered on different devices"
    elif len(boards) > 1:
        gain = (
            "cancels within a block, where all points were metered on the same device, and so in a ratio "
            f"of two points, but not between blocks: the blocks have {len(boards)} sets of devices, "
            "whose gains the joules of each point contain"
        )
    else:
        gain = "cancels in a ratio of two points, because in each block both were metered on the same device"
    return budget | {
        "gain": f"{gain}; about 5 % of any figure in joules, by published comparisons",
        "edge": (
            "does not cancel: every run has its own, up to its energy_bound_j; the part that "
            "varies between runs is also in the statistical spread"
        ),
        "data": _data_error(rows, results),
        "sampling": _sampling_error(rows, results),
    }


def _sampling_error(rows: Rows, results: Mapping[int, MeasuredRun]) -> str:
    """Return in words whether meters can have missed energy."""
    compared = [results[index] for row in rows for index in row]
    gpus = [result for result in compared if result.energy_source_kind == "gpu"]
    if not gpus:
        return "none where a counter was read: those of processors and boards add up all the time"
    if all(result.counter_exactness == "exact" for result in gpus):
        return "none: a check found that the counters observe their GPUs all the time"
    if all(result.counter_exactness is None for result in gpus):
        return "does not cancel: power was integrated between readings; sampling_j of each run is how much"
    return (
        "does not cancel: a counter of a GPU that was not checked may observe it part of the time only, "
        "and steps of another length change what it misses; sampling_j of each run is how much"
    )


def _data_error(rows: Rows, results: Mapping[int, MeasuredRun]) -> str:
    """Return in words whether the error of random data cancels."""
    compared = [results[index] for row in rows for index in row]
    realisms = [result.data_realism for result in compared]
    if any(realism is None for realism in realisms):
        return "unknown: older results do not say whether weights and tokens were random"
    if not any(realism.random_parts for realism in realisms if realism is not None):
        return "none for these prompts: weights and tokens are real"
    precisions = {number_types(result.config) for result in compared}
    if len(precisions) > 1:
        return "does not cancel: random values change power differently in each precision"
    return "may cancel in part, because all points have the same precision; its size is unknown"


def _one_run_of_each(runs: ComparedRuns) -> list[int]:
    """Return the index of one compared run of each point."""
    return list({p: index for block in runs.blocks.values() for p, index in block.items()}.values())


def _changes_devices(rows: Rows, results: Mapping[int, MeasuredRun]) -> bool:
    """Return whether the runs of a block were metered on different devices."""
    return any(
        len({frozenset(metered_devices(results[index])) for index in row}) > 1 for row in rows
    )


def caveat_of_unfinished(
    entries: Sequence[ManifestEntry], completed: Collection[int]
) -> str | None:
    """Return a sentence if the study has fewer cycles than planned.

    Args:
        entries: every planned run of the study.
        completed: indices of the runs with a result.
    """
    planned = {entry.cycle for entry in entries}
    run = {entry.cycle for entry in entries if entry.index in completed or entry.error_type}
    if len(run) == len(planned):
        return None
    return (
        f"{len(run)} of {len(planned)} planned cycles have run; the intervals do not hold if the "
        "study ends here because of what these results show"
    )


def _position(table: Rows, results: Mapping[int, MeasuredRun], figure: Figure) -> Iterator[str]:
    """Yield a sentence if runs depend on their place in the cycle."""
    if not table:
        return
    logs = [[math.log(getattr(results[index], figure)) for index in row] for row in table]
    positions = [[sorted(row).index(index) for index in row] for row in table]
    line, first = position_effects(logs, positions)
    spread = "; the random order makes this a spread between runs, which widens the intervals"
    if line is not None and line.is_clear and (first is None or not first.is_clear):
        yield f"within a cycle, the last run is {_compared(line.change)} the first{spread}"
    elif first is not None and first.is_clear:
        yield f"the first run of a cycle is {_compared(first.change)} the others{spread}"


def _compared(change: float) -> str:
    share = abs(math.expm1(change))
    return f"{share:.2%} {'above' if change > 0 else 'below'}"
