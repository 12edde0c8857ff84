"""What the intervals of a study do not cover, and when its runs may not be compared at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from llem_energy.records import random_data_caveat
from llem_report._study_data.shares import power_limit_caveat
from llem_report._study_data.study_data import FigureInfo, StudyRun

MAX_LINES = 10


def why_not_comparable(
    runs: Sequence[StudyRun], figure: FigureInfo, input_changes: Sequence[str]
) -> str | None:
    """Return why no runs of a study may be compared; None if they may.

    Args:
        runs: those with the figure.
        figure: of merit.
        input_changes: how the files that the runs read changed during the study.
    """
    if input_changes:
        return f"not all runs measured the same files: {input_changes[0]}"
    sources = Counter(run.facts.energy_source or "unknown" for run in runs if run.facts)
    if figure.is_energy and len(sources) > 1:
        meters = _counts(sources)
        return (
            f"the runs were metered by different meters ({meters}), which measure different devices"
        )
    return None


def caveats(
    runs: Sequence[StudyRun],
    figure: FigureInfo,
    configs: Sequence[Mapping[str, Any]],
    *,
    cycle_order: str | None,
    executors: Iterable[str],
    changed_files: Sequence[str],
    input_changes: Sequence[str],
) -> Iterator[str]:
    """Yield possible errors of comparisons that no interval covers.

    Args:
        runs: all planned runs.
        figure: of merit.
        configs: the experiment of each point as plain data, by `StudyRun.point`.
        cycle_order: `shuffled`, `interleaved` or `sequential`; None if this is not known.
        executors: what measured each completed run.
        changed_files: a sentence for each file that is not what the study wrote.
        input_changes: how the files that the runs read changed during the study.
    """
    used = [run for run in runs if run.used]
    facts = [run.facts for run in used if run.facts]
    if figure.is_energy and len({item.devices for item in facts}) > 1:
        yield "the runs were metered on different devices, so their gain errors do not cancel"
    random_data = random_data_caveat(configs[point] for point in {run.point for run in used})
    if figure.is_energy and random_data is not None:
        yield random_data
    boards = Counter(" + ".join(item.boards) or "no GPU" for item in facts)
    if len(boards) > 1:
        yield f"the runs used different GPUs: {_counts(boards)}"
    yield from power_limit_caveat(used)
    kinds = Counter(executors)
    if len(kinds) > 1:
        yield f"the runs were measured by different executors: {_counts(kinds)}"
    # In sequential order, a point starts after the last cycle of the point before it.
    if cycle_order != "sequential" and _is_repeated(used):
        yield (
            "some runs were repeated after their cycle, so the cycle effect removed may not apply "
            "to them"
        )
    if n_negative := sum(run.value is not None and run.value <= 0 for run in runs):
        noun = "1 run has" if n_negative == 1 else f"{n_negative} runs have"
        yield f"{noun} a figure of 0 or less, of which there is no ratio; left out"
    yield from _first(changed_files)
    yield from _first(input_changes)


def points_elsewhere(runs: Sequence[StudyRun], labels: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each point that is not compared, because all its runs are on another machine.

    Args:
        runs: all planned runs.
        labels: of each point, by `StudyRun.point`.
    """
    used = {run.point for run in runs if run.used}
    elsewhere = Counter(run.point for run in runs if run.other_machine is not None)
    yield from _first(
        [
            f"{labels[point]} is not compared: {n} of its runs {'is' if n == 1 else 'are'} on another kind of "
            "machine, and no other run has the figure"
            for point, n in sorted(elsewhere.items())
            if point not in used
        ]
    )


def _is_repeated(runs: Sequence[StudyRun]) -> bool:
    """Return whether a run of a cycle started after one of a later cycle of the same shard."""
    first: dict[tuple[int, int], str] = {}
    last: dict[tuple[int, int], str] = {}
    for run in runs:
        if run.started_at is not None:
            cycle = (run.shard or 0, run.cycle)
            first[cycle] = min(first.get(cycle, run.started_at), run.started_at)
            last[cycle] = max(last.get(cycle, run.started_at), run.started_at)
    # Shards may run at the same time.
    pairs = [(a, b) for a, b in pairwise(sorted(first)) if a[0] == b[0]]
    return any(last[a] > first[b] for a, b in pairs)


def _counts(counts: Counter[str]) -> str:
    parts = (f"{name}: {n} {'run' if n == 1 else 'runs'}" for name, n in sorted(counts.items()))
    return ", ".join(parts)


def _first(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:MAX_LINES]
    if len(lines) > MAX_LINES:
        yield f"and {len(lines) - MAX_LINES} more of this kind"
