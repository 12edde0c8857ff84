"""What a comparison needs to know of a study: the figures of its runs, and where they were measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from llem_energy import ExperimentResult
from llem_report._comparison.conditions import Condition, conditions_of_run, conditions_of_study
from llem_report._study_data.figure import Figure
from llem_report._study_data.figures import ENERGY, FIGURES, SPEED, figure_named
from llem_report._study_data.planned_runs import read_planned_run
from llem_report._study_data.site import Site, read_site
from llem_runner import read_manifest
from llem_runner.records import (
    MachineKind,
    ManifestEntry,
    StudyManifest,
    machine_kind,
    other_kinds,
)


class MeasuredRun(NamedTuple):
    """A completed run."""

    number: int
    """Its index in the manifest."""
    block: tuple[int, int]
    """What no other part of the study shares, and the cycle.

    The shards of a divided study may share a cycle, so it is the cycle; in a merged one it is the shard.
    """
    config_hash: str
    figures: Mapping[str, float]
    """Those that are there and positive, by name."""
    source: str | None
    """Energy source."""
    devices: frozenset[str]
    """Metered devices."""
    conditions: frozenset[Condition]
    identity: tuple[str, str]
    """Equal for the same run in two folders."""
    prompts_sha256: str
    kind: MachineKind


class MeasuredStudy(NamedTuple):
    """A study with the figures of its completed runs."""

    folder: Path
    manifest: StudyManifest
    labels: Mapping[str, str]
    """Of all planned points, by hash, in the order of the study."""
    configs: Mapping[str, Mapping[str, Any]]
    """Of the points with a result, by hash."""
    runs: tuple[MeasuredRun, ...]
    """Without those on another kind of machine than most."""
    conditions: frozenset[Condition]
    """Those that hold for all runs."""
    problems: tuple[str, ...]
    """A sentence for each result that cannot be read, or was changed."""
    elsewhere: Mapping[str, int]
    """Number of runs on another kind of machine than most, by the hash of their point."""
    other_machines: tuple[str, ...]
    """A sentence for the runs on each such machine."""


def read_measured_study(folder: str | Path) -> MeasuredStudy:
    """Read the figures of the completed runs of a study; a damaged result is a problem, not an error.

    Raises:
        StudyError: not a study folder, or its manifest is damaged.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    labels: dict[str, str] = {}
    configs: dict[str, Mapping[str, Any]] = {}
    runs: list[MeasuredRun] = []
    problems: list[str] = []
    site = read_site(folder)
    for entry in manifest.entries:
        labels.setdefault(entry.config_hash, entry.label)
        result, problem, is_changed = read_planned_run(folder, entry)
        if problem is not None:
            problems.append(f"run {entry.index} counts as missing: {problem}")
        if result is None:
            continue
        if is_changed:
            problems.append(f"the result of run {entry.index} is not the file that the run wrote")
        configs.setdefault(entry.config_hash, result.config)
        part = entry.cycle if manifest.is_divided else entry.shard or 0
        runs.append(_run(entry, result, site, part))
    others = other_kinds({run.number: (run.config_hash, run.kind) for run in runs})
    return MeasuredStudy(
        folder,
        manifest,
        labels,
        configs,
        tuple(run for run in runs if run.number not in others.reasons),
        conditions_of_study(folder, manifest),
        tuple(problems),
        Counter(run.config_hash for run in runs if run.number in others.reasons),
        (*others.sentences, *others.caveats),
    )


def _run(entry: ManifestEntry, result: ExperimentResult, site: Site, part: int) -> MeasuredRun:
    values = {name: figure.value(result, site) for name, figure in FIGURES.items()}
    return MeasuredRun(
        entry.index,
        (part, entry.cycle),
        entry.config_hash,
        {name: value for name, value in values.items() if value is not None and value > 0},
        result.energy_source,
        frozenset(result.energy_per_device_j),
        conditions_of_run(entry, result),
        (result.measurement_config_hash, result.started_at),
        result.prompts_sha256,
        machine_kind(result),
    )


def common_figure(runs: Iterable[MeasuredRun], other_runs: Iterable[MeasuredRun]) -> Figure:
    """Return energy per output token if runs of both studies have it, else tokens per second."""
    both = (runs, other_runs)
    has_energy = all(any(ENERGY in run.figures for run in side) for side in both)
    return figure_named(ENERGY if has_energy else SPEED)
