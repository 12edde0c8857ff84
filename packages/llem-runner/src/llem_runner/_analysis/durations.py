"""How long a study took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.run_facts import MeasuredRun, metered_devices


def wall_time_s(entries: Sequence[ManifestEntry]) -> float | None:
    """Return the duration of all runs and gaps in seconds; None if that of a run is not known.

    The dates of runs may be wrong, because the clock may be set.
    """
    ended = [entry for entry in entries if entry.ended_at]
    if any(entry.run_s is None for entry in ended):
        return None
    return sum((entry.run_s or 0.0) + (entry.gap_s or 0.0) for entry in ended)


def device_hours(
    entries: Sequence[ManifestEntry], results: Mapping[int, MeasuredRun]
) -> float | None:
    """Return the hours of all metered devices; None if the duration of a run is not known.

    A run without a result counts as one device.
    """
    ended = [entry for entry in entries if entry.ended_at]
    if any(entry.run_s is None for entry in ended):
        return None
    n_devices = {index: max(1, len(metered_devices(each))) for index, each in results.items()}
    seconds = [
        ((entry.run_s or 0.0) + (entry.gap_s or 0.0)) * n_devices.get(entry.index, 1)
        for entry in ended
    ]
    return sum(seconds) / 3600
