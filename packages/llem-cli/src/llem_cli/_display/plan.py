"""A study before it runs, for a person and for a program."""

from __future__ import annotations

import json
from typing import Any

from llem_cli._display.console import say, show_json, show_plan, study_lines
from llem_config import ExperimentConfig, StudyConfig
from llem_energy import estimate_memory
from llem_runner import PlannedRun


def say_plan(study: StudyConfig, runs: tuple[PlannedRun, ...], *, as_json: bool) -> None:
    """Print every run of a study, as a table or as one JSON object with the memory of each point."""
    if as_json:
        data = _data(study)
        for point, config in zip(data["points"], study.experiments, strict=True):
            point["memory"] = _memory(config)
        data["runs"] = [
            {"index": run.index, "cycle": run.cycle, "config_hash": run.config_hash} for run in runs
        ]
        show_json(_json(data))
        return
    for line in study_lines(study, runs):
        say(line)
    show_plan(runs, study)


def described(study: StudyConfig) -> bytes:
    """Return a study as JSON: points, hashes, counts and what was skipped."""
    return _json(_data(study))


def _data(study: StudyConfig) -> dict[str, Any]:
    n_points = len(study.experiments)
    return {
        "name": study.name,
        "study_design_hash": study.study_design_hash,
        "n_points": n_points,
        "n_cycles": study.execution.n_cycles,
        "n_runs": n_points * study.execution.n_cycles,
        "n_duplicates": study.n_duplicates,
        "n_excluded": study.n_excluded,
        "points": [
            {
                "config_hash": config_hash,
                "config": config.model_dump(mode="json", exclude_none=True),
            }
            for config_hash, config in zip(study.config_hashes, study.experiments, strict=True)
        ],
        "skipped": [{"config": point.config, "reason": point.reason} for point in study.skipped],
    }


def _memory(config: ExperimentConfig) -> dict[str, int] | None:
    """Return the bytes that a point is estimated to need; None where nobody can tell."""
    estimate = estimate_memory(config)
    if estimate is None:
        return None
    return {
        "weights_bytes": estimate.weights_bytes,
        "cache_bytes": estimate.cache_bytes,
        "activations_bytes": estimate.activations_bytes,
        "total_bytes": estimate.total_bytes,
    }


def _json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, indent=2, ensure_ascii=False).encode()
