"""When the points of a study that has grown were measured, and which of them connect the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from llem_runner._storage.manifest import ManifestEntry

_MAX_LABELS = 6


def measured_apart(entries: Sequence[ManifestEntry], started_at: Mapping[int, str]) -> str | None:
    """Return a sentence if not all compared points were planned in the same cycles.

    Args:
        entries: every planned run of the study.
        started_at: ISO 8601, of the compared runs, by index.
    """
    compared = {entry.config_hash for entry in entries if entry.index in started_at}
    planned: dict[str, set[int]] = {}
    days: dict[str, set[str]] = {}
    labels = {}
    for entry in entries:
        labels[entry.config_hash] = entry.label
        if entry.config_hash in compared:
            planned.setdefault(entry.config_hash, set()).add(entry.cycle)
        if entry.index in started_at:
            days.setdefault(entry.config_hash, set()).add(started_at[entry.index][:10])
    groups: dict[tuple[int, ...], list[str]] = {}
    for point, cycles in planned.items():
        groups.setdefault(tuple(sorted(cycles)), []).append(point)
    if len(groups) < 2:
        return None
    texts = [
        f"{_names(labels[point] for point in points)} in cycles {_ranges(cycles)} "
        f"({_days(day for point in points for day in days[point])})"
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
