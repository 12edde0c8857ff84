"""What `resume_study` continues from: the manifest, the runs of its study, and the valid results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from llem_config import ConfigError, StudyConfig, load_study
from llem_energy.models import InputDigest
from llem_runner._analysis.input_changes import InputHistory
from llem_runner._errors import StudyError
from llem_runner._plan.comparability import MIN_CYCLES, why_not_comparable
from llem_runner._plan.schedule import PlannedRun, schedule
from llem_runner._storage.differences import (
    file_differences,
    study_differences,
    version_differences,
)
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.field_changes import field_changes
from llem_runner._storage.input_files import changed_resolved, changed_study_file
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import (
    ManifestEntry,
    StudyManifest,
    tool_versions,
)
from llem_runner._storage.manifest_reader import read_manifest
from llem_runner._storage.manifest_writer import ManifestWriter
from llem_runner._storage.result_files import KeptResult
from llem_runner._storage.stale_handles import may_exist

CONTINUE_SHARDS = "which are continued one by one: use `study resume`, in Python `llem_runner.shards.resume_shards`"


def check_undivided(folder: Path, instead: str) -> None:
    """Return if one process at a time runs the study of a folder.

    Args:
        folder: of the study.
        instead: what to do with the shards of one that is divided, for the message.

    Raises:
        StudyError: it is divided among several.
    """
    divided = DividedFolder(folder)
    if divided.is_divided():
        n_shards = len(divided.read_plan().shards)
        raise StudyError(f"{folder} is divided into {n_shards} shards, {instead}")


def find_manifest(layout: Layout, study: StudyConfig) -> StudyManifest:
    """Read the manifest; make one if the study was killed before it wrote its first."""
    if may_exist(layout.manifest) or next(layout.folder.glob("[0-9]*_c[0-9]*"), None):
        return read_manifest(layout.folder)
    runs = schedule(study)
    writer = ManifestWriter.create(layout, study.name, study.study_design_hash, runs)
    return writer.manifest


def check_input_files(layout: Layout, study: StudyConfig, manifest: StudyManifest) -> list[str]:
    """Return warnings about the input files in a folder; [] if they are unchanged.

    Args:
        layout: of the folder.
        study: in the folder's `study_resolved.json`.
        manifest: of the folder.

    Raises:
        StudyError: a file was changed in a way that changes the study.
    """
    if changed := changed_resolved(layout, manifest):
        raise StudyError(changed)
    changed = changed_study_file(layout, manifest)
    if changed is None:
        return []
    if difference := _difference_of_study_file(layout, study, manifest):
        raise StudyError(
            f"{changed} ({difference}); to run that file, use `study run` with a copy of it, which "
            "makes a new folder; to continue this study, restore the original file or delete this "
            "one, because a resume needs only study_resolved.json"
        )
    return [
        f"{changed}, but describes the same points and options; a resume does not read it (more "
        "cycles: --cycles N)"
    ]


def _difference_of_study_file(
    layout: Layout, study: StudyConfig, manifest: StudyManifest
) -> str | None:
    """Return how the folder's study file differs from its study; None if it does not."""
    if not layout.source.is_file() or layout.source.is_symlink():
        return "it is not a regular file"
    try:
        written = _load_with_order(layout.source, study, manifest)
    except ConfigError as error:
        return f"it cannot be loaded: {str(error).splitlines()[0]}"
    # A relative path in the copy counts from another folder than one in the original file.
    is_same = not study_differences(study, written, compare_paths=False)
    return None if is_same else "it has other points or options"


def _load_with_order(path: str | Path, study: StudyConfig, manifest: StudyManifest) -> StudyConfig:
    """Load a study file with the overrides of a folder and, if the file sets none, its order.

    The default order was `sequential` in earlier versions, and a folder keeps its order.
    """
    order = {"execution": {"cycle_order": study.execution.cycle_order}}
    return load_study(path, defaults=order, overrides=without_cycles(manifest.overrides))


def without_cycles(overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return overrides without the number of cycles, to which a resume may add."""
    layer = dict(overrides or {})
    if isinstance(execution := layer.get("execution"), Mapping):
        layer["execution"] = {k: v for k, v in execution.items() if k != "n_cycles"}
    return layer


def check_same_study(
    layout: Layout, study: StudyConfig, manifest: StudyManifest, expected: StudyConfig | None
) -> None:
    """Return if more runs of this study would be comparable with those in the folder.

    Args:
        layout: of the folder.
        study: that the folder was made from.
        manifest: of the folder.
        expected: the study that the caller expects; None: any.

    Raises:
        StudyError: they would not be; the message lists every difference.
    """
    if manifest.shards and not manifest.is_divided:
        raise StudyError(
            f"{layout.folder} was merged from {len(manifest.shards)} folders and cannot be continued, "
            "because each part belongs to a machine of its own; resume those folders, and merge "
            "them again into a new one"
        )
    if manifest.study_design_hash != study.study_design_hash:
        raise StudyError(
            f"{layout.folder}: study_resolved.json has the design hash {study.study_design_hash}, "
            f"the manifest has {manifest.study_design_hash}; these files belong to two studies"
        )
    lines = version_differences(manifest.versions, tool_versions())
    lines += study_differences(study, expected) if expected is not None else []
    lines += file_differences(study, manifest.directory)
    if lines:
        lines += _by_field(layout, study, expected)
        raise StudyError(
            f"{layout.folder} cannot be continued, because its runs would not be comparable. "
            "Differences (only cycles can be added):\n" + "\n".join(f"  {line}" for line in lines)
        )


def _by_field(layout: Layout, study: StudyConfig, expected: StudyConfig | None) -> list[str]:
    """Return the differences of the points by field, and the next step if some are new."""
    if expected is None:
        return []
    changes = field_changes(study.experiments, expected.experiments)
    lines = [f"by field: {'; '.join(changes)}"] if changes else []
    if set(expected.config_hashes) - set(study.config_hashes):
        lines.append(
            f"to add the new points, use `llem-cli study extend {layout.folder} --study FILE`"
        )
    return lines


def expected_study(
    config: str | Path | StudyConfig | None, study: StudyConfig, manifest: StudyManifest
) -> StudyConfig | None:
    """Return the study that the caller expects in a folder; a file with the folder's overrides.

    Args:
        config: what the caller expects; None: any study.
        study: that the folder was made from.
        manifest: of the folder.

    Raises:
        ConfigError: the file has mistakes.
    """
    if isinstance(config, str | Path):
        return _load_with_order(config, study, manifest)
    return config


def history_of(kept: Mapping[int, KeptResult]) -> tuple[InputHistory, list[str]]:
    """Return what the kept runs have read, and a sentence for each change among them."""
    history = InputHistory()
    runs = sorted(kept.items(), key=lambda item: item[1].result.started_at)
    return history, [line for index, run in runs for line in history.add(index, run.result)]


def check_inputs(
    layout: Layout,
    history: InputHistory,
    config_hashes: Sequence[str],
    inputs: Sequence[Iterable[InputDigest]],
    open_runs: Iterable[PlannedRun],
) -> None:
    """Return if the runs to come will read the same files as the kept runs have read.

    Args:
        layout: of the folder.
        history: of the kept runs.
        config_hashes: of the points.
        inputs: what each point would read now.
        open_runs: the runs to come.

    Raises:
        StudyError: a file has changed.
    """
    to_run = {run.config_hash for run in open_runs}
    changes = dict.fromkeys(
        f"{what} is not the one that run {index} read"
        for config_hash, point in zip(config_hashes, inputs, strict=True)
        if config_hash in to_run
        for what, index in history.changes(config_hash, point)
    )
    if changes:
        raise StudyError(
            f"{layout.folder} cannot be continued, because its runs would not be comparable: "
            f"{'; '.join(changes)}. Restore the earlier files, or start a new study"
        )


def other_executors(
    manifest: StudyManifest, kept: Mapping[int, KeptResult], executor: str
) -> list[str]:
    """Return a warning if other executors measured the kept runs."""
    names = sorted(
        {
            entry.executor
            for entry in manifest.entries
            if entry.index in kept and entry.executor not in (None, executor)
        }
    )
    if not names:
        return []
    return [
        f"runs of this study were measured by the executor {' and '.join(names)}, the others will "
        f"be measured by {executor}, which may change their results; set execution.executor in "
        f"the settings to {names[0]} to measure all runs in the same way"
    ]


def comparison_warnings(
    study: StudyConfig, manifest: StudyManifest, *, adds_points: bool
) -> list[str]:
    """Return why the points will not be compared, or compared with wider intervals.

    Args:
        study: with the cycles to reach.
        manifest: the state before the resume.
        adds_points: whether the new cycles are those of new points.
    """
    if (reason := why_not_comparable(study)) is not None:
        return [reason]
    seen = {entry.cycle for entry in manifest.entries if entry.status == "completed"}
    is_longer = study.execution.n_cycles > max(entry.cycle for entry in manifest.entries)
    if len(study.experiments) < 2 or len(seen) < MIN_CYCLES or not is_longer:
        return []
    what = "points" if adds_points else "cycles"
    advice = "name all points" if adds_points else "set the number of cycles"
    return [
        f"{what} are added after the results of {len(seen)} cycles could be seen, so the intervals of the "
        f"comparison will be wider; to avoid this next time, {advice} before the first run"
    ]


def with_cycles(
    study: StudyConfig, cycles: int | None, expected: StudyConfig | None
) -> StudyConfig:
    """Return the study with the number of cycles to reach.

    Args:
        study: that the folder was made from, with the cycles it has.
        cycles: to reach; None: those of `expected`, or no more than before.
        expected: the study that the caller expects, if any.

    Raises:
        StudyError: `cycles` is less than the study has.
    """
    before = study.execution.n_cycles
    if cycles is not None and cycles < before:
        raise StudyError(
            f"cycles: expected at least {before} (the study has {before}), found {cycles}; cycles "
            "can be added but not removed"
        )
    # A file with fewer is the one that the folder was made from, before cycles were added.
    in_file = expected.execution.n_cycles if expected is not None else before
    n_cycles = max(before, in_file) if cycles is None else cycles
    execution = study.execution.model_copy(update={"n_cycles": n_cycles})
    return study.model_copy(update={"execution": execution})


def number_runs(
    layout: Layout, study: StudyConfig, entries: Sequence[ManifestEntry]
) -> tuple[PlannedRun, ...]:
    """Return every run as numbered in the manifest, then the runs of cycles that it lacks.

    Added cycles come last in every cycle order, because the earlier runs are done.

    Raises:
        StudyError: the manifest has other runs than its study.
    """
    planned = schedule(study)
    open_runs = {(run.config_hash, run.cycle): run for run in planned}
    planned_before = [open_runs.pop((entry.config_hash, entry.cycle), None) for entry in entries]
    n_before = max((entry.cycle for entry in entries), default=0)
    numbered = [entry.index for entry in entries] == [*range(1, len(entries) + 1)]
    if not numbered or None in planned_before or any(cycle <= n_before for _, cycle in open_runs):
        raise StudyError(f"{layout.folder}: the manifest does not list the runs of its study")
    added = sorted(open_runs.values(), key=lambda run: (run.cycle, run.index))
    runs = [*(run for run in planned_before if run is not None), *added]
    return tuple(msgspec.structs.replace(run, index=index) for index, run in enumerate(runs, 1))
