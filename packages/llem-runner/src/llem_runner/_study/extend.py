"""`extend_study`: add points to a study that was measured, connected by points that run again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from llem_config import Settings, StudyConfig, load_study
from llem_energy import measure as default_measure
from llem_energy.preflight import Machine, MachineGpu, gpus_used
from llem_runner._control import Control
from llem_runner._errors import StudyError
from llem_runner._events import OnEvent
from llem_runner._executors.protocol import Executor
from llem_runner._executors.task import Measure
from llem_runner._plan.comparability import MIN_CYCLES
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyManifest
from llem_runner._storage.study_result import StudyResult
from llem_runner._study.continuation import (
    check_input_files,
    check_same_study,
    without_cycles,
)
from llem_runner._study.growth import Growth, grow
from llem_runner._study.opening import opened_study
from llem_runner._study.restart import restart

EXTEND_SHARDS = (
    "to which shards are added: use `study extend`, in Python `llem_runner.shards.add_points`"
)


def extend_study(
    folder: str | Path,
    config: str | Path | StudyConfig,
    *,
    anchors: int | None = None,
    cycles: int | None = None,
    on_event: OnEvent | None = None,
    control: Control | None = None,
    measure: Measure = default_measure,
    settings: Settings | None = None,
    executor: Executor | None = None,
    retry: int = 0,
    time_limit_s: float | None = None,
    wait: bool = False,
    progress: bool = False,
) -> StudyResult:
    """Measure new points in new cycles of a study, and return the record of the whole study.

    Some of the old points run again in the same cycles: the comparison removes what differs between
    the days of old and new runs. After a crash, `resume_study` continues the larger study, or the old
    one if the crash came before the points were added.

    Args:
        folder: made by `run_study`.
        config: has the new points; old ones may be in it too. A file is loaded with the overrides, such
            as flags, with which the study was started.
        anchors: number of old points that run again; None: two, or all if there are fewer.
        cycles: number of cycles of the new points; None: that of the file, or that of the old points.
        on_event: as in `run_study`.
        control: as in `run_study`.
        measure: as in `run_study`.
        settings: as in `run_study`; the gaps stay those of the folder.
        executor: as in `run_study`.
        retry: as in `run_study`.
        time_limit_s: as in `run_study`.
        wait: as in `run_study`; a folder in use is still an error.
        progress: as in `run_study`.

    Raises:
        ConfigError: mistakes in the study file.
        StudyError: the study is running or not finished, has all points already, or the new runs
            would not be comparable; nothing was changed.
        PreflightError: the study cannot run on this machine; nothing was changed.
    """
    with opened_study(
        folder,
        EXTEND_SHARDS,
        on_event=on_event,
        control=control,
        measure=measure,
        settings=settings,
        executor=executor,
        retry=retry,
        time_limit_s=time_limit_s,
        wait=wait,
        progress=progress,
    ) as (layout, study, manifest, caller):
        growth, source, warnings = checked_growth(
            layout, study, manifest, config, caller.machine, anchors=anchors, cycles=cycles
        )
        return restart(
            layout, growth.study, manifest, caller, warnings, growth.extension, source=source
        )


def checked_growth(
    layout: Layout,
    study: StudyConfig,
    manifest: StudyManifest,
    config: str | Path | StudyConfig,
    machine: Machine,
    *,
    anchors: int | None,
    cycles: int | None,
) -> tuple[Growth, bytes | None, list[str]]:
    """Return what `requested_growth` returns, and the warnings before the first run.

    The arguments and errors are those of `requested_growth`. A folder whose files do not fit together
    is a `StudyError` too.
    """
    growth, source = requested_growth(
        layout, study, manifest, config, machine, anchors=anchors, cycles=cycles
    )
    check_same_study(layout, study, manifest, None)
    return growth, source, [*growth.warnings, *check_input_files(layout, study, manifest)]


def requested_growth(
    layout: Layout,
    study: StudyConfig,
    manifest: StudyManifest,
    config: str | Path | StudyConfig,
    machine: Machine | None,
    *,
    anchors: int | None,
    cycles: int | None,
) -> tuple[Growth, bytes | None]:
    """Return a study with the new points of another one, and the content of the file of that one.

    Args:
        layout: of the folder.
        study: of the folder.
        manifest: of the folder.
        config: as in `extend_study`.
        machine: on which the new points will run; None: another one, of which nothing is known.
        anchors: as in `extend_study`.
        cycles: as in `extend_study`.

    Raises:
        ConfigError: mistakes in the study file.
        StudyError: the study is not finished, has all points already, or the new runs would not be
            comparable.
    """
    _check_finished(layout, manifest)
    requested = _requested(config, study, manifest, MIN_CYCLES if cycles is None else 1)
    source = None if requested.source is None else requested.source.encode()
    growth = grow(
        layout,
        study,
        manifest,
        requested,
        gpus_here=() if machine is None else _gpus_here(requested, machine),
        n_anchors=anchors,
        n_cycles=requested.execution.n_cycles if cycles is None else cycles,
        file_sha256=None if source is None else hashlib.sha256(source).hexdigest(),
    )
    return growth, source


def _requested(
    config: str | Path | StudyConfig, study: StudyConfig, manifest: StudyManifest, min_cycles: int
) -> StudyConfig:
    if isinstance(config, StudyConfig):
        return config
    # The gaps that the file leaves open are those of the folder.
    gaps = {"config_gap_seconds", "cycle_gap_seconds"}
    execution = study.execution.model_dump(exclude_none=True, exclude=gaps)
    # The cycles of the first points, before any were added.
    execution["n_cycles"] = study.parts[0].last_cycle if study.parts else execution["n_cycles"]
    overrides = without_cycles(manifest.overrides)
    defaults = {"execution": execution}
    return load_study(config, defaults=defaults, overrides=overrides, min_cycles=min_cycles)


def _gpus_here(requested: StudyConfig, machine: Machine) -> tuple[MachineGpu, ...]:
    """Return the GPUs that runs may use."""
    used = gpus_used(requested.experiments, machine)
    return tuple(gpu for gpu in machine.gpus if gpu.uuid in used)


def _check_finished(layout: Layout, manifest: StudyManifest) -> None:
    if manifest.shards and not manifest.is_divided:
        return  # refused with its reason below
    n_open = sum(entry.status not in ("completed", "failed") for entry in manifest.entries)
    if n_open:
        raise StudyError(
            f"{layout.folder} is not finished: {n_open} of {len(manifest.entries)} runs are open; finish it "
            f"with `llem-cli study resume {layout.folder}`, and extend it then"
        )
