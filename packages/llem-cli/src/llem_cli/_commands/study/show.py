"""`llem-cli study show`: the result of a study, or how far it is."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import Json, Tracebacks
from llem_cli._commands.study.figure import figure_flag
from llem_cli._commands.study.folder import check_studies, latest_study, point_levels
from llem_cli._display.console import note, say, show_json
from llem_cli._display.continuation import cluster_of, how_to_continue
from llem_cli._display.ranking import show_ranking
from llem_cli._display.shards import show_shards
from llem_cli._display.study_progress import show_study_progress
from llem_cli._display.study_result import show_study_result
from llem_config import LlemError
from llem_report import ReportError, analyse
from llem_report.records import Analysis
from llem_runner import (
    StudyError,
    StudyResult,
    changed_files,
    is_running,
    read_manifest,
    read_study_result,
)
from llem_runner.archives import OpenedStudy, is_archive, open_study
from llem_runner.clusters import ShardState, cluster_states
from llem_runner.plan import time_left_s
from llem_runner.progress import unseen_processes
from llem_runner.records import StudyManifest, encode_json
from llem_runner.shards import ShardProgress, merge_study, shard_progress

By = Annotated[
    Literal["axis", "field"] | None,
    Parameter(
        help="What the choices are: the axes of the study file (default), or every field that differs."
    ),
]
FigureName = Annotated[
    str | None,
    Parameter(
        help="Figure that the choices are ranked by, e.g. tokens_per_second (default: "
        "energy_per_output_token_j, or tokens_per_second if no energy was measured)."
    ),
]


LatestOrNamed = Annotated[
    Path | None,
    Parameter(
        help="Folder of the study, as printed when it ran, or its archive (.zip) (default: the study that "
        "was started last, in results_dir of the settings)."
    ),
]


def show(
    study: LatestOrNamed = None,
    /,
    *,
    by: By = None,
    figure: FigureName = None,
    json_: Json = False,
    verbose: Tracebacks = False,
) -> int:
    """Show the result of a study and which choices matter most, or how far the study is.

    A running study is ranked only if `--by` or `--figure` is given. With `--json`, print one object with the same keys for every study: its status, the manifest, the result, and the analysis behind the ranking.
    """
    del verbose  # read where errors are explained
    study = latest_study() if study is None else study
    check_studies([study])
    with open_study(study) as opened:
        return _show(opened, study, by=by, figure=figure, json_=json_)


def _show(opened: OpenedStudy, named: Path, *, by: By, figure: FigureName, json_: bool) -> int:
    """Show a study; `named` is the folder or archive as the user has named it."""
    folder = opened.folder
    manifest = read_manifest(folder)
    shards = shard_progress(folder) if manifest.is_divided else ()
    states = _states(folder, shards)
    result = _result(folder, manifest)
    running = _is_running(folder) if result is None else False
    unseen = unseen_processes(folder) if running is None and manifest.is_divided else ()
    if running is None and any(state.phase == "running" for state in states.values()):
        running = True  # a cluster sees what this machine cannot
    left_s = None
    if running:
        # The versions installed here may not read a study that other versions are running.
        with contextlib.suppress(StudyError):
            left_s = time_left_s(folder, manifest)
    warnings = opened.named(changed_files(folder, manifest))
    analysis = None
    # A process that watches a running study should not pay for its statistics.
    if running is False or by or figure:
        analysis = opened.named(_analysis(folder, by, figure))
    if json_:
        show_json(
            encode_json(
                {
                    "status": manifest.status,
                    "running": running,
                    "unseen": unseen,
                    "left_s": left_s,
                    "warnings": warnings,
                    "manifest": manifest,
                    "shards": shards,
                    "cluster": states,
                    "result": result,
                    "analysis": analysis if isinstance(analysis, Analysis) else None,
                }
            )
        )
    elif result is None:
        show_study_progress(
            manifest,
            named,
            running=running,
            unseen=unseen,
            left_s=left_s,
            levels=point_levels(folder),
            states=states,
            on=cluster_of(folder),
        )
        if isinstance(analysis, Analysis) and analysis.n_runs_used:
            show_ranking(analysis)
    else:
        show_study_result(result, named, analysis=analysis)
        _say_how_to_continue(manifest, named, states, cluster_of(folder))
    if not json_:
        if shards:
            show_shards(shards, manifest.n_superseded, states, named)
        for warning in warnings:
            say(f"warning: {warning}")
    return OK


def _states(folder: Path, shards: Sequence[ShardProgress]) -> Mapping[int, ShardState]:
    """Return what clusters say of the shards; a study that is complete has no jobs."""
    if all(shard.status == "complete" for shard in shards):
        return {}
    try:
        return cluster_states(folder)
    except LlemError as error:
        note(f"warning: the cluster cannot be asked: {error}")
        return {}


def _result(folder: Path, manifest: StudyManifest) -> StudyResult | None:
    """Return the result of a study; None if it has none, or is running."""
    if manifest.status == "running":
        return None
    if manifest.is_divided:  # the file may be older than the last run
        return merge_study(folder, write=False) if manifest.totals.completed else None
    return read_study_result(folder) if (folder / "study_result.json").is_file() else None


def _say_how_to_continue(
    manifest: StudyManifest, folder: Path, states: Mapping[int, ShardState], on: str | None
) -> None:
    if manifest.shards and not manifest.is_divided:
        say(f"merged from {len(manifest.shards)} folders: {', '.join(manifest.shards)}")
    elif manifest.status in ("interrupted", "aborted") and is_archive(folder):
        say(f"{manifest.status}")
    elif manifest.status in ("interrupted", "aborted"):
        say(f"{manifest.status}; {how_to_continue(folder, states, on)}")


def _analysis(
    folder: Path, by: Literal["axis", "field"] | None, figure: str | None
) -> Analysis | str:
    """Return which choices matter most, or why the study could not be analysed.

    Without a choice of the figure, an error is only a line: the result is shown all the same.
    """
    try:
        with figure_flag(figure):
            return analyse(folder, figure=figure, by=by or "axis")
    except ReportError as error:
        if figure is not None:
            raise
        return str(error)


def _is_running(folder: Path) -> bool | None:
    """Return whether a process runs the study; None if that cannot be found out."""
    with contextlib.suppress(StudyError):  # no access to the lock file, e.g. of another user
        return is_running(folder)
    return None
