"""Going on with a study where it stopped: completed runs are kept, everything else runs again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llem_config import Settings, StudyConfig, load_settings
from llem_energy import MeasurementError, read_result
from llem_energy import measure as default_measure
from llem_runner._control import Control
from llem_runner._errors import StudyError
from llem_runner._events import Cautioned, ignore
from llem_runner._layout import RESULT, Layout
from llem_runner._locks import hold, hold_gpus
from llem_runner._manifest import ManifestWriter, StudyManifest, read_manifest
from llem_runner._preflight import check
from llem_runner._results import StudyResult
from llem_runner._runner import OnEvent
from llem_runner._schedule import PlannedRun, schedule
from llem_runner._study import _run, check_caller
from llem_runner._worker import Measure


def resume_study(
    folder: str | Path,
    *,
    on_event: OnEvent | None = None,
    control: Control | None = None,
    measure: Measure = default_measure,
    settings: Settings | None = None,
) -> StudyResult:
    """Run what is left of a study folder and return the record of the whole study.

    A run is kept if its result is on disk, can be read, and is of its own experiment. All others
    are executed, with their attempts counted; a result that was not good is kept as `.old`.

    Args:
        folder: made by `run_study`; it may have been moved.
        on_event: as in `run_study`.
        control: as in `run_study`.
        measure: as in `run_study`.
        settings: as in `run_study`.

    Raises:
        StudyError: no study folder, damaged, of another design, or in use (`StudyLocked`).
        PreflightError: the study cannot run on this machine.
    """
    check_caller(measure)
    layout = Layout(Path(folder))
    study = read_study(layout)
    own = settings or load_settings()
    # The lock first: what the manifest says is true only while nobody else can change it.
    with hold(layout.lock, str(layout.folder)):
        manifest = read_manifest(layout.folder)
        runs = schedule(study.experiments, study.execution)
        _same_study(layout, study, manifest, runs)
        for warning in check(study, layout.folder):
            (on_event or ignore)(Cautioned(warning))
        with hold_gpus(study.experiments):
            kept = {run.index: path for run in runs if (path := _intact(layout, manifest, run))}
            writer = ManifestWriter(layout, manifest)
            layout.study_result.unlink(missing_ok=True)  # no longer true
            writer.reopen(kept)
            left = [run for run in runs if run.index not in kept]
            return _run(study, layout, writer, left, own, on_event, control, measure)


def _same_study(
    layout: Layout, study: StudyConfig, manifest: StudyManifest, runs: Sequence[PlannedRun]
) -> None:
    if manifest.study_design_hash != study.study_design_hash:
        raise StudyError(
            f"{layout.folder}: study_resolved.json has the design hash {study.study_design_hash}, "
            f"the manifest has {manifest.study_design_hash}; they are not of the same study"
        )
    if [(run.index, run.config_hash) for run in runs] != [
        (entry.index, entry.config_hash) for entry in manifest.entries
    ]:
        raise StudyError(f"{layout.folder}: the manifest does not hold the runs of its study")


def read_study(layout: Layout) -> StudyConfig:
    """Read the study that a folder was made for.

    Raises:
        StudyError: the file is missing or damaged.
    """
    try:
        return StudyConfig.model_validate_json(layout.resolved.read_bytes())
    except OSError as error:
        raise StudyError(f"{layout.folder} is not a study folder: {error}") from error
    except ValueError as error:
        raise StudyError(f"{layout.resolved} is damaged: {error}") from error


def _intact(layout: Layout, manifest: StudyManifest, run: PlannedRun) -> Path | None:
    """Return the result of a run that need not be made again, or None.

    A crash between writing a result and booking it leaves a `running` entry beside a good result.
    """
    path = layout.run_folder(run) / RESULT
    if manifest.entries[run.index - 1].status not in ("completed", "running"):
        return None
    try:
        result = read_result(path)
    except MeasurementError:
        return None
    return path if result.measurement_config_hash == run.config_hash else None
