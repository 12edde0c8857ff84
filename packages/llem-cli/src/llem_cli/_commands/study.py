"""`llem-cli study ...`: plain functions that read, run and show."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from llem_cli._app import FAILED, INTERRUPTED, OK
from llem_cli._commands.options import (
    CLI_DEFAULTS,
    Cycles,
    Gaps,
    Json,
    Order,
    Quiet,
    Retry,
    Set,
    TimeLimit,
    Timeout,
    Verbose,
    Wait,
    overrides,
    seconds,
)
from llem_cli._display.console import (
    note,
    say,
    show_json,
    show_manifest,
    study_lines,
)
from llem_cli._display.plan import described, say_plan
from llem_cli._display.progress import Progress
from llem_cli._display.study_result import show_study
from llem_cli._signals import controlled
from llem_config import Settings, StudyConfig, load_settings, load_study
from llem_energy import measure as default_measure
from llem_runner import (
    Measure,
    StudyError,
    StudyResult,
    encode_json,
    fill_gaps,
    is_running,
    read_manifest,
    read_study_result,
    resume_study,
    run_study,
    schedule,
    time_left_s,
)

Measuring = Annotated[Measure | None, Parameter(parse=False)]
_EXIT = {"completed": OK, "failed": FAILED, "aborted": FAILED, "interrupted": INTERRUPTED}


def run(
    path: Path,
    /,
    *,
    cycles: Cycles = None,
    order: Order | None = None,
    gaps: Gaps = True,
    output: Path | None = None,
    timeout: Timeout = None,
    retry: Retry = 0,
    time_limit: TimeLimit = None,
    wait: Wait = False,
    settings: Set = (),
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    measure: Measuring = None,
) -> int:
    """Run every experiment of a study file.

    Args:
        path: the study file.
        cycles: repeats of every experiment.
        order: order of the runs over the cycles.
        gaps: pause between runs.
        output: folder that the study's own folder is made in.
        timeout: seconds after which a run is killed.
        retry: further attempts at a run whose process crashed.
        time_limit: for all of it; the rest stays pending.
        wait: for a GPU that another study uses.
        settings: fields set over the file, `key=value`.
        dry_run: show what would run, and run nothing.
        json_: print the StudyResult.
        quiet: show no progress.
        verbose: show every stage, and tracebacks.
        measure: what each run calls; no flag, but a way in for other programs.
    """
    layer = overrides(settings, cycles=cycles, order=order, gaps=gaps, timeout=timeout)
    limit_s = seconds(time_limit)
    machine = load_settings()
    study = _study(path, layer, machine)
    runs = schedule(study.experiments, study.execution)
    if dry_run:
        say_plan(study, runs, as_json=json_)
        return OK
    if not quiet:
        for line in study_lines(study, runs):
            note(line)
    with controlled() as control, Progress(quiet=quiet, verbose=verbose) as progress:
        result = run_study(
            study,
            output=output,
            control=control,
            on_event=progress,
            measure=measure or default_measure,
            settings=machine,
            retry=retry,
            time_limit_s=limit_s,
            wait=wait,
        )
    return _finish(result, progress.folder, as_json=json_)


def resume(
    folder: Path,
    /,
    *,
    study: Annotated[Path | None, Parameter(name="--study")] = None,
    cycles: Annotated[int | None, Parameter(name="--cycles")] = None,
    retry: Retry = 0,
    time_limit: TimeLimit = None,
    wait: Wait = False,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    measure: Measuring = None,
) -> int:
    """Run what is left of a study's folder; completed runs are kept.

    Args:
        folder: made by `study run`.
        study: the file that the folder is expected to be of; what differs is shown and refused.
        cycles: repeats of every experiment from now on; more than before are added at the end.
        retry: further attempts at a run whose process crashed.
        time_limit: for all of it; the rest stays pending.
        wait: for a GPU that another study uses.
        json_: print the StudyResult.
        quiet: show no progress.
        verbose: show every stage, and tracebacks.
        measure: what each run calls; no flag, but a way in for other programs.
    """
    limit_s = seconds(time_limit)
    asked = None if study is None else load_study(study, defaults=CLI_DEFAULTS)
    with controlled() as control, Progress(quiet=quiet, verbose=verbose) as progress:
        result = resume_study(
            folder,
            config=asked,
            cycles=cycles,
            control=control,
            on_event=progress,
            measure=measure or default_measure,
            retry=retry,
            time_limit_s=limit_s,
            wait=wait,
        )
    return _finish(result, folder, as_json=json_)


def validate(
    path: Path,
    /,
    *,
    cycles: Cycles = None,
    order: Order | None = None,
    settings: Set = (),
    json_: Json = False,
    verbose: Verbose = False,
) -> int:
    """Check a study file and count its points; measures nothing.

    Args:
        path: the study file.
        cycles: repeats of every experiment.
        order: order of the runs over the cycles.
        settings: fields set over the file, `key=value`.
        json_: print points, hashes and what was skipped.
        verbose: show tracebacks.
    """
    del verbose  # read where errors are explained
    study = _study(path, overrides(settings, cycles=cycles, order=order), load_settings())
    if json_:
        show_json(described(study))
    else:
        for line in study_lines(study, schedule(study.experiments, study.execution)):
            say(line)
    return OK


def plan(
    path: Path,
    /,
    *,
    cycles: Cycles = None,
    order: Order | None = None,
    gaps: Gaps = True,
    settings: Set = (),
    json_: Json = False,
    verbose: Verbose = False,
) -> int:
    """Show every run of a study in execution order; measures nothing.

    Args:
        path: the study file.
        cycles: repeats of every experiment.
        order: order of the runs over the cycles.
        gaps: pause between runs.
        settings: fields set over the file, `key=value`.
        json_: print points and runs.
        verbose: show tracebacks.
    """
    del verbose  # read where errors are explained
    layer = overrides(settings, cycles=cycles, order=order, gaps=gaps)
    study = _study(path, layer, load_settings())
    say_plan(study, schedule(study.experiments, study.execution), as_json=json_)
    return OK


def show(folder: Path, /, *, json_: Json = False, verbose: Verbose = False) -> int:
    """Show what a study's folder holds, also while it runs.

    Args:
        folder: made by `study run`.
        json_: print the StudyResult, or the StudyManifest if there is no result yet.
        verbose: show tracebacks.
    """
    del verbose  # read where errors are explained
    manifest = read_manifest(folder)
    if manifest.status == "running" or not (folder / "study_result.json").is_file():
        if json_:
            show_json(encode_json(manifest))
        else:
            running: bool | None = None
            with contextlib.suppress(StudyError):  # in somebody else's folder it cannot be told
                running = is_running(folder)
            left_s = None
            if running:
                # Read with other versions than those that run it, the study may say nothing.
                with contextlib.suppress(StudyError):
                    left_s = time_left_s(folder, manifest)
            show_manifest(manifest, str(folder), running=running, left_s=left_s)
        return OK
    result = read_study_result(folder)
    if json_:
        show_json(encode_json(result))
    else:
        show_study(result, str(folder))
    return OK


def _study(path: Path, flags: Mapping[str, Any], machine: Settings) -> StudyConfig:
    """Return the study of a file as it will run on this machine."""
    study = load_study(path, defaults=CLI_DEFAULTS, overrides=flags)
    return fill_gaps(study, machine)


def _finish(result: StudyResult, folder: Path, *, as_json: bool) -> int:
    if as_json:
        show_json(encode_json(result))
    else:
        show_study(result, str(folder))
    return _EXIT[result.status]
