"""What `study extend` will measure, in words: the new points, the anchors, and how many runs."""

from __future__ import annotations

from collections.abc import Sequence

from llem_config import StudyConfig
from llem_runner._plan.labels import labels
from llem_runner._storage.manifest import Extension

_MAX_NAMES = 8


def growth_notes(study: StudyConfig, extension: Extension) -> list[str]:
    """Return one sentence for each: new points, anchors, runs.

    Args:
        study: with the new points.
        extension: that adds them.
    """
    label_of = dict(zip(study.config_hashes, labels(study.experiments), strict=True))
    new, anchors = extension.new_points, extension.anchors
    n_points = len(new) + len(anchors)
    first, last = extension.first_cycle, extension.last_cycle
    n_cycles = last - first + 1
    return [
        f"{_count(len(new), 'new point')}: {_names([label_of[point] for point in new])}",
        f"{_count(len(anchors), 'old point')} measured again, to connect old and new (anchors): "
        f"{_names([label_of[point] for point in anchors])}",
        f"{n_points} points x {n_cycles} cycles = {n_points * n_cycles} runs, in cycles {first} to {last}",
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"{', '.join(names[:_MAX_NAMES])}{more}"
