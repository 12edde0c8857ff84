"""How long a study will take before any of its runs is done, from its plan and from earlier studies.

The live display starts from the same figures, so that it agrees with the plan.
"""

from __future__ import annotations

import contextlib
import functools
import platform
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from llem_config import ExperimentConfig, LlemError, Settings, StudyConfig
from llem_energy.preflight import find_machine, gpus_used
from llem_runner._plan.schedule import PlannedRun, gap_seconds, windows_s
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyManifest, read_manifest_file
from llem_runner._storage.study_folder import find_studies
from llem_runner._storage.study_reader import read_study

_MAX_STUDIES = 10
_MAX_BYTES = 1_000_000  # of a study's points: to read more takes longer than an estimate is worth

Kind = tuple[str, str, str | None]
"""Runs with the same overhead: model, backend, and the device that the study asks for."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a study that was not started will take, in seconds."""

    gaps_s: float
    windows_s: float
    """The measured windows, which may last longer."""
    overhead_s: float | None
    """Loading, warm-up and everything else beside the windows, as long as in earlier runs; None if a
    model has none."""
    known_overhead_s: float = 0.0
    """The same of the runs whose model has earlier runs."""
    unknown: tuple[str, ...] = ()
    """Models without earlier runs on this machine and device."""
    n_earlier_runs: int
    """Number of the earlier runs that say so."""
    has_needless_gaps: bool
    """Whether no point uses a GPU, and gaps may be left out without harm to the comparison."""


def forecast(
    study: StudyConfig, runs: Sequence[PlannedRun], results_dir: Path, settings: Settings
) -> Forecast:
    """Return how long a study will take here.

    Args:
        study: to be run, with its gaps.
        runs: of the study.
        results_dir: the folder with earlier studies; those of this machine count.
        settings: of this machine.
    """
    gaps_s = sum(gap_seconds(run.gap, study.execution) for run in runs)
    kinds = [_kind(run.config) for run in runs]
    earlier = _earlier_overheads(results_dir, set(kinds))
    known_s = sum(statistics.median(earlier[kind]) for kind in kinds if kind in earlier)
    unknown = tuple(dict.fromkeys(kind[0] for kind in kinds if kind not in earlier))
    return Forecast(
        gaps_s=gaps_s,
        windows_s=sum(windows_s(run.config) for run in runs),
        overhead_s=known_s if runs and not unknown else None,
        known_overhead_s=known_s,
        unknown=unknown,
        n_earlier_runs=sum(map(len, earlier.values())),
        has_needless_gaps=gaps_s > 0 and _gaps_are_needless(study, settings),
    )


def usual_run_s(study: StudyConfig, results_dir: Path) -> dict[str, float]:
    """Return how long a run of each point takes by earlier runs of its model, in seconds.

    Args:
        study: whose points run.
        results_dir: the folder with earlier studies; those of this machine count.

    Returns:
        The seconds by `measurement_config_hash`; a point whose model has no earlier runs is left out.
    """
    points = dict(zip(study.config_hashes, study.experiments, strict=True))
    earlier = _earlier_overheads(results_dir, set(map(_kind, points.values())))
    return {
        point: windows_s(config) + statistics.median(earlier[_kind(config)])
        for point, config in points.items()
        if _kind(config) in earlier
    }


def _gaps_are_needless(study: StudyConfig, settings: Settings) -> bool:
    """Return whether heat of one run cannot be mistaken for a difference between points.

    Only in a shuffled order does each point follow all others; in any other order it always follows
    the same one, whose heat would look like its own effect.
    """
    if study.execution.cycle_order != "shuffled":
        return False
    with contextlib.suppress(LlemError):  # of a backend that cannot be imported
        return not gpus_used(study.experiments, find_machine(settings))
    return False


def _earlier_overheads(results_dir: Path, kinds: set[Kind]) -> dict[Kind, list[float]]:
    """Return of each kind the seconds beside the windows of the runs in the latest studies."""
    found: dict[Kind, list[float]] = {}
    for folder in sorted(find_studies(results_dir), key=_written_at, reverse=True)[:_MAX_STUDIES]:
        with contextlib.suppress(LlemError, OSError):  # damaged, or of another version
            for kind, seconds in _overheads(folder, _written_at(folder)):
                if kind in kinds:
                    found.setdefault(kind, []).append(seconds)
    return found


@functools.lru_cache(maxsize=2 * _MAX_STUDIES)  # the plan and the display ask for the same
def _overheads(folder: Path, written_at: float) -> tuple[tuple[Kind, float], ...]:
    """Return the kind and the overhead of each run of a study; `written_at` tells its states apart."""
    del written_at
    layout = Layout(folder)
    if layout.resolved.stat().st_size > _MAX_BYTES:
        return ()
    manifest = read_manifest_file(layout.manifest)
    if manifest.host != platform.node() or manifest.shards:
        return ()
    if all(entry.run_s is None for entry in manifest.entries):  # as in a study that has just begun
        return ()
    return tuple(_overheads_of(folder, manifest))


def _overheads_of(folder: Path, manifest: StudyManifest) -> Iterator[tuple[Kind, float]]:
    study = read_study(folder)
    configs = dict(zip(study.config_hashes, study.experiments, strict=True))
    for entry in manifest.entries:
        config = configs.get(entry.config_hash)
        if entry.status == "completed" and entry.run_s is not None and config is not None:
            yield _kind(config), max(0.0, entry.run_s - windows_s(config))


def _kind(config: ExperimentConfig) -> Kind:
    section = getattr(config, config.backend, None)  # whichever the backend is
    return config.model, config.backend, getattr(section, "device", None)


def _written_at(folder: Path) -> float:
    try:
        return Layout(folder).manifest.stat().st_mtime
    except OSError:
        return 0.0
