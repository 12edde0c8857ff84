"""`run_on_gpus`: from a study file to its record, on several GPUs of this machine at once.

load -> pre-flight -> division into shards -> folder -> a process for each shard (`GpuPool`) -> record
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from llem_config import Settings, StudyConfig, load_study
from llem_energy import measure as default_measure
from llem_energy.models import digest_inputs
from llem_energy.preflight import Machine, find_machine
from llem_runner._control import Control
from llem_runner._errors import StudyError
from llem_runner._events import PreflightWarning, ReadingInputs, StudyEnded, StudyStarted, ignore
from llem_runner._executors.local.importing import pickle_measure
from llem_runner._executors.task import Measure
from llem_runner._parallel.plan import Gpus, check_points, chosen_gpus, shards_per_cycle
from llem_runner._parallel.pool import GpuPool, Send
from llem_runner._plan.comparability import why_not_comparable
from llem_runner._plan.shards import USUAL_POINTS, precision_kept
from llem_runner._shards.division import divide_study, plan_division
from llem_runner._shards.idle import check_idle
from llem_runner._shards.merge import merge_study
from llem_runner._shards.open_shards import open_shards
from llem_runner._shards.reopening import reopen_shards
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.divided_manifest import merge_manifests
from llem_runner._storage.study_result import StudyResult
from llem_runner._study.preflight import check
from llem_runner._study.preparation import check_caller, fill_gaps


def run_on_gpus(
    config: str | Path | StudyConfig,
    *,
    gpus: Gpus = "all",
    shards: int | None = None,
    output: str | Path | None = None,
    on_event: Send | None = None,
    control: Control | None = None,
    measure: Measure = default_measure,
    settings: Settings | None = None,
    retry: int = 0,
    time_limit_s: float | None = None,
) -> StudyResult:
    """Run a study on several GPUs at once, each run on one of them, and return the study's record.

    The study is divided into shards, of which each GPU runs one at a time; a shard is a block of the
    comparison, so differences between the boards are removed. The study can be continued by
    `study resume`, also without all of the GPUs.

    Args:
        config: a study file, or a study made in Python; its order must be `shuffled`.
        gpus: `all` that this process may use, or the driver's numbers or UUIDs of some.
        shards: number of shards of each cycle; None: as the numbers of GPUs, cycles and points suggest.
        output: as in `run_study`.
        on_event: called for each event of this process, and for each of a run with its GPU.
        control: stops all shards.
        measure: as in `run_study`; defined in a module.
        settings: as in `run_study`.
        retry: as in `run_study`.
        time_limit_s: as in `run_study`.

    Raises:
        ConfigError: mistakes in the study file.
        PreflightError: the study cannot run on this machine; nothing was written.
        StudyError: a GPU is not there, points use several GPUs, shards could not be compared, or
            results cannot be written.
    """
    check_caller(measure)
    content = _pickled(measure)
    send = on_event or ignore
    study = config if isinstance(config, StudyConfig) else load_study(config)
    machine = find_machine(settings)
    study = fill_gaps(study, machine.settings)
    chosen = chosen_gpus(gpus, machine)
    check_points(study)
    _check(study, output, msgspec.structs.replace(machine, visible_gpus=chosen), send)
    per_cycle = shards or shards_per_cycle(
        len(study.experiments), study.execution.n_cycles, len(chosen)
    )
    division = plan_division(study, shards=per_cycle, settings=machine.settings)
    for sentence in _notes(study, per_cycle, len(division.shards), len(chosen)):
        send(PreflightWarning(sentence))
    with Control.owned(control) as stop:
        _read_inputs(study, send, stop)
        folder = DividedFolder(divide_study(division, output=output).folder)
        send(StudyStarted(folder.folder, len(division.runs), len(division.runs), 0.0))
        pool = GpuPool(
            folder,
            chosen,
            [shard.number for shard in division.shards],
            settings=machine.settings,
            measure=content,
            control=stop,
            on_event=send,
            retry=retry,
            time_limit_s=time_limit_s,
        )
        return _run(pool, folder, send)


def resume_on_gpus(
    folder: str | Path,
    *,
    gpus: Gpus = "all",
    even_if_running: bool = False,
    retry_failed: bool = False,
    on_event: Send | None = None,
    control: Control | None = None,
    measure: Measure = default_measure,
    settings: Settings | None = None,
    retry: int = 0,
    time_limit_s: float | None = None,
) -> StudyResult:
    """Run what is left of a divided study on several GPUs at once, and return the study's record.

    Args:
        folder: of the study.
        gpus: as in `run_on_gpus`; they need not be those on which the study began.
        even_if_running: as in `resume_shards`.
        retry_failed: as in `resume_shards`.
        on_event: as in `run_on_gpus`.
        control: as in `run_on_gpus`.
        measure: as in `run_on_gpus`.
        settings: as in `run_on_gpus`; those that all shards share are of the study.
        retry: as in `run_on_gpus`.
        time_limit_s: as in `run_on_gpus`.

    Raises:
        StudyError: as in `resume_shards`, or a GPU is not there.
    """
    check_caller(measure)
    content = _pickled(measure)
    send = on_event or ignore
    machine = find_machine(settings)
    chosen = chosen_gpus(gpus, machine)
    divided = DividedFolder(Path(folder).absolute())
    numbers = open_shards(folder, retry_failed=retry_failed)
    if not even_if_running:
        check_idle(divided, numbers)
    reopen_shards(folder, numbers)
    totals = merge_manifests(divided).totals
    n_left = totals.pending + totals.interrupted + totals.running
    n_left += totals.failed if retry_failed else 0
    with Control.owned(control) as stop:
        send(StudyStarted(divided.folder, n_left, n_left + totals.completed, 0.0))
        pool = GpuPool(
            divided,
            chosen,
            numbers,
            settings=machine.settings,
            measure=content,
            control=stop,
            on_event=send,
            retry=retry,
            retry_failed=retry_failed,
            time_limit_s=time_limit_s,
        )
        return _run(pool, divided, send)


def _run(pool: GpuPool, folder: DividedFolder, send: Send) -> StudyResult:
    pool.run()
    result = merge_study(folder.folder)
    send(StudyEnded(folder.folder, result.status))
    return result


def _pickled(measure: Measure) -> bytes:
    content, main_module = pickle_measure(measure)
    if main_module is not None:
        raise StudyError(
            "`measure` is defined in the main script, which the processes of shards do not import; "
            "define it in a module"
        )
    return content


def _check(study: StudyConfig, output: str | Path | None, machine: Machine, send: Send) -> None:
    results_dir = Path(output) if output is not None else machine.settings.output.results_dir
    for warning in check(study, results_dir, machine).warnings:
        send(PreflightWarning(warning))
    if reason := why_not_comparable(study):
        send(PreflightWarning(reason))


def _notes(study: StudyConfig, per_cycle: int, n_shards: int, n_gpus: int) -> list[str]:
    """Return what the user should know about how the study was divided."""
    n_points, n_cycles = len(study.experiments), study.execution.n_cycles
    notes = []
    if n_shards < n_gpus:
        notes.append(
            f"{n_gpus - n_shards} of {n_gpus} GPUs have nothing to do, because {n_points} points in "
            f"{n_cycles} cycles give {n_shards} shards; more cycles use more GPUs"
        )
    if per_cycle > 1 and n_points // per_cycle < USUAL_POINTS:
        loss = 1 - precision_kept(n_points, n_cycles, per_cycle)
        notes.append(
            f"each cycle is cut into {per_cycle} shards, which costs about {loss:.0%} of the precision "
            "of the comparison; more points or more cycles cost less"
        )
    return notes


def _read_inputs(study: StudyConfig, send: Send, control: Control) -> None:
    """Read the models once, before several processes want their digests at the same time.

    Raises:
        KeyboardInterrupt: a stop was requested.
    """

    def report(n_read_bytes: int, n_bytes: int) -> None:
        send(ReadingInputs(n_read_bytes, n_bytes))
        if control.stop_requested:
            raise KeyboardInterrupt("stopped while the models were read; no run was started")

    digest_inputs(study.experiments, report)
