"""Start a study in its folder again: what is good is kept, all else runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from llem_config import StudyConfig
from llem_runner._analysis.input_changes import InputHistory
from llem_runner._events import Note, PreflightWarning
from llem_runner._plan.schedule import PlannedRun
from llem_runner._storage.atomic_files import remove_file, write_atomically
from llem_runner._storage.foreign_entries import check_entries, remove_scratch
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import Extension, StudyManifest
from llem_runner._storage.manifest_reader import read_manifest
from llem_runner._storage.manifest_writer import ManifestWriter
from llem_runner._storage.result_files import KeptResult, changed_results, valid_result
from llem_runner._storage.study_result import StudyResult
from llem_runner._study.continuation import (
    check_inputs,
    comparison_warnings,
    history_of,
    number_runs,
    other_executors,
)
from llem_runner._study.growth_notes import growth_notes
from llem_runner._study.session import Caller, Session, begin_session


class Prepared(NamedTuple):
    """A study that can be started in its folder again; nothing was written."""

    session: Session
    runs: tuple[PlannedRun, ...]
    """All of them, as numbered in the manifest."""
    open_runs: tuple[PlannedRun, ...]
    kept: dict[int, KeptResult]
    history: InputHistory
    changes: Sequence[str]


def prepare_restart(
    layout: Layout,
    study: StudyConfig,
    manifest: StudyManifest,
    caller: Caller,
    warnings: Sequence[str],
    extension: Extension | None = None,
) -> Prepared:
    """Check that what is not completed can run, and send the warnings and notes; write nothing.

    Args:
        layout: as in `restart`.
        study: as in `restart`.
        manifest: as in `restart`.
        caller: as in `restart`.
        warnings: as in `restart`.
        extension: as in `restart`.

    Raises:
        StudyError: as in `restart`.
        PreflightError: as in `restart`.
    """
    runs = number_runs(layout, study, manifest.entries)
    check_entries(layout, runs)
    session = begin_session(study, layout.folder, caller)
    entries = {entry.index: entry for entry in manifest.entries}
    kept = {
        run.index: result
        for run in runs
        if (result := valid_result(layout, entries.get(run.index), run)) is not None
    }
    history, changes = history_of(kept)
    open_runs = tuple(run for run in runs if run.index not in kept)
    check_inputs(layout, history, session.study.config_hashes, session.inputs, open_runs)
    lines = [*warnings]
    lines += [f"{line}; the run is repeated" for line in changed_results(layout, manifest)]
    if open_runs:
        lines += other_executors(manifest, kept, session.chosen.name)
        lines += comparison_warnings(study, manifest, adds_points=extension is not None)
    for line in lines:
        caller.on_event(PreflightWarning(line))
    for line in growth_notes(study, extension) if extension is not None else ():
        caller.on_event(Note(line))
    return Prepared(session, runs, open_runs, kept, history, changes)


def restart(
    layout: Layout,
    study: StudyConfig,
    manifest: StudyManifest,
    caller: Caller,
    warnings: Sequence[str],
    extension: Extension | None = None,
    *,
    source: bytes | None = None,
) -> StudyResult:
    """Run what is not completed, and return the record of the whole study; call with the lock held.

    Args:
        layout: of the folder.
        study: to run, with the cycles and points to reach.
        manifest: of the folder, as it is on disk.
        caller: what the caller wants.
        warnings: to send with those that are found here.
        extension: the points that are added now; None: none.
        source: content of the study file of the extension, if it has one.

    Raises:
        StudyError: the runs would not be comparable, or a file is in the way; nothing was changed.
        PreflightError: the study cannot run on this machine.
    """
    prepared = prepare_restart(layout, study, manifest, caller, warnings, extension)
    session, runs = prepared.session, prepared.runs
    with session.gpus_held():
        remove_scratch(layout, runs)
        if extension is not None:
            if extension.study_file is not None and source is not None:
                write_atomically(layout.folder / extension.study_file, source)
            manifest = _announced(layout, manifest, extension)
        # Before the manifest, which gets the runs of the added cycles.
        layout.write_study(study)
        if extension is not None:
            manifest = read_manifest(layout.folder)  # as after a crash: now of the larger study
        writer = ManifestWriter(layout, manifest, executor=session.chosen.name)
        remove_file(layout.study_result)  # out of date from here on
        writer.reopen(prepared.kept, runs)
        writer.add_input_changes(prepared.changes)
        return session.study_runner(layout, writer, prepared.history).run(prepared.open_runs)


def _announced(layout: Layout, manifest: StudyManifest, extension: Extension) -> StudyManifest:
    """Save that points are about to be added, so that a crash leaves the old study or the new."""
    extensions = (*manifest.extensions, extension)
    announced = msgspec.structs.replace(manifest, extensions=extensions)
    ManifestWriter(layout, announced).write()
    return announced
