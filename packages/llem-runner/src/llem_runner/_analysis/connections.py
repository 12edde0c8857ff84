"""When the points of a study that has grown were measured, and which of them connect the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from llem_runner._analysis.compared_runs import ComparedRuns
from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.run_facts import MeasuredRun

_MAX_LABELS = 6


def measured_apart(
    runs: ComparedRuns,
    entries: Sequence[ManifestEntry],
    results: Mapping[int, MeasuredRun],
) -> str | None:
    """Return a sentence if not all compared points were planned in the same cycles.

    Args:
        runs: that are compared.
        entries: every planned run of the study.
        results: of the completed runs, by index.
    """
    planned: dict[str, set[int]] = {point: set() for point in runs.points}
    labels = {}
    for entry in entries:
        labels[entry.config_hash] = entry.label
        if entry.config_hash in planned:
            planned[entry.config_hash].add(entry.cycle)
    groups: dict[tuple[int, ...], list[str]] = {}
    for point, cycles in planned.items():
        groups.setdefault(tuple(sorted(cycles)), []).append(point)
    if len(groups) < 2:
        return None
    compared = {index for row in runs.rows for index in row}
    days: dict[str, set[str]] = {}
    for entry in entries:
        if entry.index in compared:
            day = results[entry.index].started_at[:10]
            days.setdefault(entry.config_hash, set()).add(day)
    texts = [
        f"{_names(labels[point] for point in points)} in cycles {_ranges(cycles)} "
        f"({_days(day for point in points for day in days.get(point, ()))})"
        for cycles, points in sorted(groups.items())
    ]
    return (
        f"not all points were measured at the same time: {'; '.join(texts)}; points of different cycles "
        "are compared through those that ran in both"
    )


def _names(labels: Iterable[str]) -> str:
    found = sorted(labels)
    more = f" and {len(found) - _MAX_LABELS} more" if len(found) > _MAX_LABELS else ""
    return f"{', '.join(found[:_MAX_LABELS])}{more}"


def _days(days: Iterable[str]) -> str:
    found = sorted(set(days))
    if not found:
        return "without a result"
    return found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _ranges(cycles: Sequence[int]) -> str:
    """Return numbers in ascending order as ranges: `1 to 3, 7`."""
    ranges: list[list[int]] = []
    for cycle in cycles:
        if ranges and cycle == ranges[-1][-1] + 1:
            ranges[-1][1:] = [cycle]
        else:
            ranges.append([cycle])
    return ", ".join(" to ".join(map(str, each)) for each in ranges)
