"""The runs of studies that a calibration can use: completed, and with one metered GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from llem_cli._commands.study.folder import check_folders
from llem_config import Settings
from llem_energy import ExperimentResult
from llem_energy.gain import BoardRun, read_board_run
from llem_runner import StudyError, read_manifest, read_run_result
from llem_runner.run_files import opened_run_file

_MANIFEST = "manifest.json"
_MAX_CHANGE_W = 50.0  # more is no noise of idle boards


class MeteredRuns(NamedTuple):
    """Runs of one metered GPU each."""

    runs: list[BoardRun]
    drivers: dict[str, str | None]
    """Version of the driver, by device."""
    notes: list[str]
    """Why runs are left out, and what else the meter may have seen."""


def study_folders(named: Sequence[Path], settings: Settings) -> list[Path]:
    """Return the folders that are named, or else every study in the folder for results.

    Raises:
        ConfigError: a named folder does not exist.
        StudyError: no folder is named, and there is no study.
    """
    if named:
        check_folders(named)
        return list(named)
    results = settings.output.results_dir
    found = sorted(path.parent for path in results.glob(f"*/{_MANIFEST}"))
    if not found:
        raise StudyError(f"{results}: expected folders of studies, found none; give --study FOLDER")
    return found


def metered_runs(folders: Sequence[Path]) -> MeteredRuns:
    """Read the power of the board during each run.

    Raises:
        StudyError: no run can be used.
        MeasurementError: the samples of a run are damaged.
        ForeignFileError: they cannot be read.
    """
    found = MeteredRuns([], {}, [])
    for folder in folders:
        neighbours_w: list[float] = []  # of one study: another machine may have more GPUs
        for entry in read_manifest(folder).entries:
            if entry.status != "completed" or entry.result_file is None:
                continue
            result = read_run_result(folder, entry)
            problem = _problem(result, found.drivers)
            if problem is not None:
                found.notes.append(f"run {entry.index} of {folder.name} is left out: {problem}")
                continue
            (device,) = result.energy_per_device_j
            found.drivers[device] = result.environment_snapshot.driver
            neighbours_w += _neighbours_w(result)
            path = (folder / entry.result_file).with_name("timeseries.parquet")
            with opened_run_file(path) as content:
                found.runs.append(read_board_run(path, device, content=content))
        low_w, high_w = min(neighbours_w, default=0.0), max(neighbours_w, default=0.0)
        if high_w - low_w > _MAX_CHANGE_W:
            found.notes.append(
                f"{folder.name}: other GPUs of the node drew between {low_w:.0f} and {high_w:.0f} W beside "
                "these runs; if the meter sees them, measure again while they idle"
            )
    if not found.runs:
        reason = f" ({found.notes[0]})" if found.notes else ""
        raise StudyError(
            f"expected completed runs in which one GPU was metered, found none{reason}; measure a "
            "study on one GPU while the meter records"
        )
    return found


def _problem(result: ExperimentResult, drivers: dict[str, str | None]) -> str | None:
    """Return why a run cannot be used, or None."""
    if result.energy_source_kind != "gpu":
        return f"no GPU was metered (energy source: {result.energy_source or 'none'})"
    if len(result.energy_per_device_j) != 1:
        n_gpus = len(result.energy_per_device_j)
        return f"{n_gpus} GPUs were metered, whose gains cannot be told apart"
    (device,) = result.energy_per_device_j
    driver = result.environment_snapshot.driver
    if drivers.get(device, driver) != driver:
        return f"its driver is {driver}, and that of earlier runs {drivers[device]}"
    if result.timeseries_file is None:
        return "its samples were not written"
    return None


def _neighbours_w(result: ExperimentResult) -> Iterator[float]:
    """Yield the power of all other GPUs of the node at each instant of a run at which it is known."""
    instants = zip(
        *((n.power_start_w, n.power_before_window_w, n.power_end_w) for n in result.neighbours),
        strict=True,
    )
    for powers_w in instants:
        known_w = [power_w for power_w in powers_w if power_w is not None]
        if len(known_w) == len(powers_w):
            yield sum(known_w)
