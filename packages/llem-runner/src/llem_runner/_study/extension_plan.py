"""`plan_extension`: what `extend_study` would measure, without a change of the folder."""

from __future__ import annotations

from pathlib import Path

import msgspec

from llem_config import Settings, StudyConfig
from llem_energy import measure as default_measure
from llem_runner._control import Control
from llem_runner._events import Event, Note, OnEvent, PreflightWarning
from llem_runner._executors.protocol import Executor
from llem_runner._study.duration import RemainingTime
from llem_runner._study.extend import EXTEND_SHARDS, checked_growth
from llem_runner._study.forecast import usual_run_s
from llem_runner._study.opening import opened_study
from llem_runner._study.restart import prepare_restart


class PlannedExtension(msgspec.Struct, frozen=True, kw_only=True):
    """What `extend_study` would measure."""

    warnings: tuple[str, ...]
    """Sentences for the user, such as that the intervals will be wider."""
    notes: tuple[str, ...]
    """Which points are new, which are measured again, and how many runs that makes."""
    n_runs: int
    """Runs that are left."""
    n_completed: int
    left_s: float | None
    """How long the runs that are left take, in seconds; None if nothing is known of a model."""
    least_s: float
    """How long they take at least."""
    unknown: tuple[str, ...]
    """The models of whose loading and warm-up nothing is known."""


def plan_extension(
    folder: str | Path,
    config: str | Path | StudyConfig,
    *,
    anchors: int | None = None,
    cycles: int | None = None,
    on_event: OnEvent | None = None,
    control: Control | None = None,
    settings: Settings | None = None,
    executor: Executor | None = None,
) -> PlannedExtension:
    """Return what `extend_study` would measure; the folder is only read.

    Args:
        folder: as in `extend_study`.
        config: as in `extend_study`.
        anchors: as in `extend_study`.
        cycles: as in `extend_study`.
        on_event: as in `extend_study`; it gets the events before the first run.
        control: as in `extend_study`.
        settings: as in `extend_study`.
        executor: as in `extend_study`.

    Raises:
        ConfigError: as in `extend_study`.
        StudyError: as in `extend_study`.
        PreflightError: as in `extend_study`.
    """
    events: list[Event] = []

    def keep(event: Event) -> None:
        events.append(event)
        if on_event is not None:
            on_event(event)

    with opened_study(
        folder,
        EXTEND_SHARDS,
        write=False,
        on_event=keep,
        control=control,
        measure=default_measure,
        settings=settings,
        executor=executor,
        retry=0,
        time_limit_s=None,
        wait=False,
        progress=False,
    ) as (layout, study, manifest, caller):
        growth, _, warnings = checked_growth(
            layout, study, manifest, config, caller.machine, anchors=anchors, cycles=cycles
        )
        prepared = prepare_restart(
            layout, growth.study, manifest, caller, warnings, growth.extension
        )
        usual_s = usual_run_s(growth.study, layout.folder.parent)
        execution = growth.study.execution
        remaining = RemainingTime(prepared.open_runs, execution, manifest.entries, usual_s)
    return PlannedExtension(
        warnings=tuple(event.warning for event in events if isinstance(event, PreflightWarning)),
        notes=tuple(event.text for event in events if isinstance(event, Note)),
        n_runs=len(prepared.open_runs),
        n_completed=len(prepared.kept),
        left_s=remaining.left_s(),
        least_s=remaining.least_s,
        unknown=remaining.unknown,
    )
