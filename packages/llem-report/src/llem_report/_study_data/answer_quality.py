"""The quality of the answers of each point, from its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llem_energy.records import AnswerQuality
from llem_report._study_data.study_data import StudyRun
from llem_runner.records import PointQuality, ScoredPoint, point_qualities


def qualities_of_points(
    runs: Sequence[StudyRun], labels: Sequence[str], configs: Sequence[Mapping[str, Any]]
) -> list[PointQuality | None]:
    """Return the quality of the answers of each point; None where no run states any.

    Args:
        runs: all planned runs.
        labels: of each point, by `StudyRun.point`.
        configs: the experiment of each point as plain data; likewise.
    """
    found: list[list[AnswerQuality]] = [[] for _ in labels]
    for run in runs:
        if run.facts is not None and run.facts.quality is not None:
            found[run.point].append(run.facts.quality)
    rows = zip(labels, configs, found, strict=True)
    return point_qualities(
        [ScoredPoint(label, config, tuple(qualities)) for label, config, qualities in rows]
    )
