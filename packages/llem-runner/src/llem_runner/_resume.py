"""Going on with a study where it stopped: completed runs are kept, everything else runs again."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from llem_config import Settings, StudyConfig, load_settings
from llem_energy import MeasurementError, read_result
from llem_energy import measure as default_measure
from llem_runner._control import Control
from llem_runner._errors import StudyError
from llem_runner._layout import Layout
from llem_runner._locks import hold, hold_gpus
from llem_runner._manifest import ManifestEntry, ManifestWriter, read_manifest
from llem_runner._preflight import check
from llem_runner._results import StudyResult
from llem_runner._runner import OnEvent
from llem_runner._schedule import schedule
from llem_runner._study import _run
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

    A run is kept if its result is on disk, can be read, and is of its own experiment. Failed,
    interrupted, stale running and pending runs are executed, with their attempts counted.

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
    layout = Layout(Path(folder))
    study = read_study(layout)
    manifest = read_manifest(layout.folder)
    if manifest.study_design_hash != study.study_design_hash:
        raise StudyError(
            f"{layout.folder}: study_resolved.json has the design hash {study.study_design_hash}, "
            f"the manifest has {manifest.study_design_hash}; they are not of the same study"
        )
    runs = schedule(study.experiments, study.execution)
    if [(run.index, run.config_hash) for run in runs] != [
        (entry.index, entry.config_hash) for entry in manifest.entries
    ]:
        raise StudyError(f"{layout.folder}: the manifest does not hold the runs of its study")
    own = settings or load_settings()
    check(study, layout.folder)
    with hold_gpus(study.experiments), hold(layout.lock, str(layout.folder)):
        keep = {entry.index for entry in manifest.entries if _intact(layout, entry)}
        writer = ManifestWriter(layout, manifest)
        writer.reopen(keep)
        left = [run for run in runs if run.index not in keep]
        return _run(study, layout, writer, left, own, on_event, control, measure)


def read_study(layout: Layout) -> StudyConfig:
    """Read the study that a folder was made for.

    Raises:
        StudyError: the file is missing or damaged.
    """
    try:
        return StudyConfig.model_validate_json(layout.resolved.read_bytes())
    except OSError as error:
        raise StudyError(f"{layout.folder} is not a study folder: {error}") from error
    except ValidationError as error:
        raise StudyError(f"{layout.resolved} is damaged: {error}") from error


def _intact(layout: Layout, entry: ManifestEntry) -> bool:
    if entry.status != "completed" or entry.result_file is None:
        return False
    try:
        result = read_result(layout.folder / entry.result_file)
    except MeasurementError:
        return False
    return result.measurement_config_hash == entry.config_hash
