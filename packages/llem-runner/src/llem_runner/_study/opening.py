"""The opening of a study in its folder, for `resume_study`, `extend_study` and `plan_extension`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple, TypedDict, Unpack

from llem_config import Settings, StudyConfig
from llem_energy.preflight import find_machine
from llem_runner._control import Control
from llem_runner._events import OnEvent
from llem_runner._executors.protocol import Executor
from llem_runner._executors.task import Measure
from llem_runner._storage.layout import Layout
from llem_runner._storage.lock import hold
from llem_runner._storage.manifest import StudyManifest
from llem_runner._storage.study_reader import read_study
from llem_runner._study.continuation import check_undivided, find_manifest
from llem_runner._study.limits import Limits
from llem_runner._study.preparation import check_caller, fill_gaps
from llem_runner._study.progress_lines import with_progress
from llem_runner._study.session import Caller


class OpenedStudy(NamedTuple):
    """A study in its folder, which no other process can change while the lock is held."""

    layout: Layout
    study: StudyConfig
    """With every gap a number."""
    manifest: StudyManifest
    caller: Caller


class Options(TypedDict):
    """The arguments of `resume_study` and `extend_study` that say how to run."""

    on_event: OnEvent | None
    control: Control | None
    measure: Measure
    settings: Settings | None
    executor: Executor | None
    retry: int
    time_limit_s: float | None
    wait: bool
    progress: bool


@contextmanager
def opened_study(
    folder: str | Path, of_shards: str, *, write: bool = True, **options: Unpack[Options]
) -> Iterator[OpenedStudy]:
    """Open the study of a folder, and hold its lock if it will be changed.

    Args:
        folder: of the study.
        of_shards: what to do with a study that is divided, for the message.
        write: whether the folder will be changed; without, no lock is held, which would be a file.
        options: as in `resume_study`.

    Raises:
        StudyError: not a study folder, or a damaged or divided one; in use (`StudyLocked`).
        PreflightError: the settings of this machine cannot be used.
    """
    check_caller(options["measure"])
    layout = Layout(Path(folder))
    check_undivided(layout.folder, of_shards)
    machine = find_machine(options["settings"])
    study = fill_gaps(read_study(layout.folder), machine.settings)
    on_event = with_progress(options["on_event"], options["progress"])
    # The lock first: the manifest is reliable only while no other process can change it.
    with (
        hold(layout.lock, str(layout.folder)) if write else nullcontext(),
        Control.owned(options["control"]) as stop,
        Limits(stop, retry=options["retry"], time_limit_s=options["time_limit_s"]) as limits,
    ):
        manifest = find_manifest(layout, study)
        caller = Caller(
            machine,
            stop,
            limits,
            on_event,
            options["measure"],
            options["executor"],
            options["wait"],
        )
        yield OpenedStudy(layout, study, manifest, caller)
