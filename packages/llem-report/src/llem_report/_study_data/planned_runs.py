"""The result of a planned run, or why there is none: the one way in which results are read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from llem_energy import ExperimentResult
from llem_runner import StudyError, read_stored_run
from llem_runner.records import ManifestEntry


class PlannedRun(NamedTuple):
    """What the folder of a study has of a planned run."""

    result: ExperimentResult | None
    """None if the run is not completed, or its result cannot be used."""
    problem: str | None = None
    """Why the stored result cannot be used: a sentence with its path."""
    is_changed: bool = False
    """Whether the file is not the one that the run wrote."""


def read_planned_run(folder: Path, entry: ManifestEntry) -> PlannedRun:
    """Read the result of a run; a damaged one, or one of another point, is a problem."""
    if entry.status != "completed":
        return PlannedRun(None)
    try:
        stored = read_stored_run(folder, entry)
    except StudyError as error:
        return PlannedRun(None, str(error))
    if stored.result.measurement_config_hash != entry.config_hash:
        path = folder / str(entry.result_file)
        return PlannedRun(None, f"{path} is the result of another point than planned")
    return PlannedRun(stored.result, is_changed=stored.is_changed)
