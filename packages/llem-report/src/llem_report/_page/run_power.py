"""The readings of one run, from its file, for the figure of its power."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llem_config.foreign_files import ForeignFileError
from llem_report._errors import ReportError
from llem_report._figures.figure import Figure
from llem_report._figures.power import RunPower, power
from llem_report._study_data.planned_runs import read_planned_run
from llem_report._study_data.study_data import StudyData
from llem_report._tables.run_file_tables import samples_of_run
from llem_report.records import Analysis
from llem_runner.run_files import has_run_file

_COLUMNS = ("t_s", "device", "phase", "power_w", "power_average_w", "throttle_reasons")
_MAX_READINGS = 2_000_000
"""A day at 20 Hz."""
_SLOWED = 0x4 | 0x8 | 0x20 | 0x40 | 0x80
"""Bits of NVML: power cap, hardware slowdown, thermal slowdown of two kinds, power brake."""


def power_figures(data: StudyData, analysis: Analysis, runs: Sequence[int]) -> list[Figure]:
    """Return the power of runs that recorded it; by default that of a run of the best point.

    Args:
        data: the study.
        analysis: of the study.
        runs: indices; () for the run of the best point whose figure is in the middle.

    Raises:
        ReportError: a run of `runs` does not exist, or has no readings.
    """
    entries = {entry.index: entry for entry in data.manifest.entries}
    figures = []
    for index in runs or _middle_run(analysis):
        if index not in entries:
            raise ReportError(f"expected a run from 1 to {len(entries)}, found {index}")
        try:
            made = _figure(data.folder, entries[index])
        except (ReportError, ForeignFileError) as error:
            if runs:
                raise ReportError(f"run {index} has no readings of power: {error}") from error
            continue
        if made is None and runs:
            raise ReportError(f"run {index} has no readings of power; use another run")
        figures += [] if made is None else [made]
    return figures


def _middle_run(analysis: Analysis) -> list[int]:
    points = [point for point in analysis.points if point.value is not None]
    if not points:
        return []
    sign = 1 if analysis.lower_is_better else -1
    best = min(points, key=lambda point: sign * (point.value or 0))
    runs = [
        run for run in analysis.runs if run.config_hash == best.config_hash and run.ratio_to_point
    ]
    runs.sort(key=lambda run: (run.ratio_to_point or 0, run.index))
    return [runs[len(runs) // 2].index] if runs else []


def _figure(folder: Path, entry: Any) -> Figure | None:
    result = read_planned_run(folder, entry).result
    if result is None or entry.result_file is None:
        return None
    path = (folder / entry.result_file).with_name("timeseries.parquet")
    if not has_run_file(path) or path.parent.is_symlink():
        return None
    rows = _rows(path)
    if not rows:
        return None
    start_s = rows[0][0]
    devices = tuple(dict.fromkeys(device for _, device, *_ in rows))
    places = {device: place for place, device in enumerate(devices)}
    return power(
        RunPower(
            index=entry.index,
            label=entry.label,
            energy_j=result.energy_total_j,
            bound_j=result.energy_bound_j,
            devices=devices,
            readings=[(t_s - start_s, places[device], watts) for t_s, device, _, watts, _ in rows],
            phases=_phases(rows, start_s),
            throttled_s=sorted(
                {round(t_s - start_s, 1) for t_s, *_, reasons in rows if reasons & _SLOWED}
            ),
        )
    )


def _rows(path: Path) -> list[tuple[float, str, str, float, int]]:
    """Return time, device, phase, watts and throttle bits of each reading, in order of time."""
    rows: list[tuple[float, str, str, float, int]] = []
    for part in samples_of_run(path, _COLUMNS):
        if len(rows) > _MAX_READINGS:
            raise ReportError(f"{path} has more than {_MAX_READINGS:,} readings")
        for row in part.to_pylist():
            watts = row["power_w"] if row["power_w"] is not None else row["power_average_w"]
            if watts is not None and row["t_s"] is not None:
                rows.append(
                    (
                        row["t_s"],
                        row["device"] or "",
                        row["phase"] or "",
                        watts,
                        row["throttle_reasons"] or 0,
                    )
                )
    rows.sort(key=lambda row: row[0])
    return rows


def _phases(
    rows: Sequence[tuple[float, str, str, float, int]], start_s: float
) -> list[tuple[float, float, str]]:
    """Return begin, end and name of each stretch of one phase."""
    found: list[tuple[float, float, str]] = []
    for t_s, _, phase, *_ in rows:
        now_s = t_s - start_s
        if found and found[-1][2] == phase:
            found[-1] = (found[-1][0], now_s, phase)
        else:
            if found:
                found[-1] = (found[-1][0], now_s, found[-1][2])
            found.append((now_s, now_s, phase))
    return [phase for phase in found if phase[2]]
