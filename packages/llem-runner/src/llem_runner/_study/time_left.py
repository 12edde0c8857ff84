"""How long a running study will still take, estimated from its folder by another process."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from llem_runner._plan.schedule import gap_between, gap_seconds, schedule
from llem_runner._storage.manifest import StudyManifest
from llem_runner._storage.study_reader import read_study
from llem_runner._study.duration import RemainingTime
from llem_runner._study.forecast import usual_run_s


def time_left_s(folder: str | Path, manifest: StudyManifest) -> float | None:
    """Return an estimate of how long the runs and gaps to come will take.

    Args:
        folder: of the study.
        manifest: its state.

    Returns:
        Seconds; None before any run is completed, unless earlier studies beside it have run its models.

    Raises:
        StudyError: not a study folder, or a damaged one.
    """
    study = read_study(folder)
    planned = {(run.config_hash, run.cycle): run for run in schedule(study)}
    open_entries = [entry for entry in manifest.entries if entry.status in ("running", "pending")]
    runs = [run for entry in open_entries if (run := planned.get((entry.config_hash, entry.cycle)))]
    usual = usual_run_s(study, Path(folder).parent)
    remaining = RemainingTime(runs, study.execution, manifest.entries, usual)
    left_s = remaining.left_s()
    if left_s is None or not runs:
        return left_s
    for entry in open_entries:
        if entry.status == "running" and entry.started_at:
            # Less the time it has run; one that takes longer than usual counts as about to end.
            usual_s = remaining.run_s(entry.config_hash) or 0.0
            return left_s - min(_since(entry.started_at), usual_s)
    # No run is running, so a gap is. The estimate has no gap before its first run.
    ended = [entry for entry in manifest.entries if entry.ended_at]
    last = max(ended, key=lambda entry: entry.ended_at or "", default=None)
    kind = gap_between(last.cycle, runs[0].cycle, study.execution) if last else None
    if last is None or last.ended_at is None or kind is None:
        return left_s
    return left_s + max(0.0, gap_seconds(kind, study.execution) - _since(last.ended_at))


def _since(instant: str) -> float:
    """Return the seconds since an instant; 0 if the clock was set back meanwhile."""
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(instant)).total_seconds())
