"""How long a study will still take, read from its folder: for whoever watches from outside."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from llem_runner._estimate import Estimate
from llem_runner._layout import Layout
from llem_runner._manifest import StudyManifest
from llem_runner._resume import read_study
from llem_runner._schedule import schedule


def time_left_s(folder: str | Path, manifest: StudyManifest) -> float | None:
    """Return an estimate of what the runs and pauses to come will take.

    Args:
        folder: of the study.
        manifest: its state.

    Returns:
        Seconds; None before any run was completed.

    Raises:
        StudyError: no study folder, or damaged.
    """
    study = read_study(Layout(Path(folder)))
    planned = {
        (run.config_hash, run.cycle): run for run in schedule(study.experiments, study.execution)
    }
    left = [entry for entry in manifest.entries if entry.status in ("running", "pending")]
    known = [run for entry in left if (run := planned.get((entry.config_hash, entry.cycle)))]
    estimate = Estimate(known, study.execution, manifest.entries)
    left_s = estimate.left_s()
    if left_s is None:
        return None
    for entry in left:
        if entry.status == "running" and entry.started_at:
            # What it has run already; a run that takes longer than the others is about to end.
            so_far = datetime.now(UTC) - datetime.fromisoformat(entry.started_at)
            usual_s = estimate.run_s(entry.config_hash) or 0.0
            left_s -= min(max(0.0, so_far.total_seconds()), usual_s)
    return left_s
