"""Reads the folder of a study, finished or not, as one table."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from llem_config import ExecutionConfig, StudyConfig, canonical
from llem_config.foreign_files import ForeignFileError, opened
from llem_config.text import one_line
from llem_energy.records import Quality
from llem_report._errors import ReportError
from llem_report._study_data.cautions import caveats, points_elsewhere, why_not_comparable
from llem_report._study_data.field_columns import columns_of_fields
from llem_report._study_data.figures import ENERGY, FIGURES, SPEED, figure_named
from llem_report._study_data.level_columns import Column, Factors, comparable_factors
from llem_report._study_data.run_readings import RunReader, RunReading, Visit
from llem_report._study_data.site import site_of
from llem_report._study_data.study_data import (
    FigureInfo,
    RunStatus,
    StudyData,
    StudyPoint,
    StudyRun,
)
from llem_runner import (
    StudyError,
    StudyResult,
    changed_files,
    is_running,
    read_manifest,
    read_study,
    read_study_result,
)
from llem_runner.records import ManifestEntry, StudyManifest, other_kinds
from llem_runner.shards import is_merged, merge_study

By = Literal["axis", "field"]
_OK = Quality("ok")
_MAX_RESOLVED_BYTES = 100_000_000
_MISSING = Quality("missing")


def read_study_data(
    folder: str | Path,
    *,
    figure: str | None = None,
    by: By = "axis",
    visit: Visit | None = None,
) -> StudyData:
    """Return a study as one table of factors, points and runs.

    A study may be running, interrupted or failed. A result that cannot be read counts as missing.

    Args:
        folder: of the study.
        figure: name of the figure of merit; None takes energy per output token if any run has it,
            else output tokens per second.
        by: `axis` takes the axes of the sweep as factors, `field` every field that differs. A
            study without recorded axes is always read by field.
        visit: is called with the result of each run, so that others need not read it again.

    Raises:
        ReportError: not a study folder, its manifest is missing or damaged, there is no such
            figure, or no run has it.
    """
    if by not in get_args(By):
        raise ReportError(f"expected axis or field, found {one_line(str(by), 60)!r}")
    if figure is not None:
        figure_named(figure)
    folder = Path(folder)
    try:
        manifest = read_manifest(folder)
    except StudyError as error:
        raise ReportError(str(error)) from error
    return _Reading(folder, manifest, visit).data(figure, by)


class _Reading:
    """Everything that is read of one folder."""

    def __init__(self, folder: Path, manifest: StudyManifest, visit: Visit | None) -> None:
        self.folder = folder
        self.manifest = manifest
        self.problems: list[str] = []
        self.running: bool | None = None
        with contextlib.suppress(StudyError):  # no access to the lock file of another user
            self.running = is_running(folder)
        self.study = self._study()
        self.result = self._result()
        self.entries = sorted(manifest.entries, key=lambda entry: entry.index)
        protocol = None if self.result is None else self.result.measurement_protocol
        reader = RunReader(folder, visit, site_of(protocol))
        self.readings = [reader.read(entry) for entry in self.entries]
        self.problems += [reading.problem for reading in self.readings if reading.problem]
        self.measured_configs = reader.configs
        self.others = other_kinds(
            {
                entry.index: (entry.config_hash, reading.facts.kind)
                for entry, reading in zip(self.entries, self.readings, strict=True)
                if reading.facts is not None
            }
        )

    def data(self, name: str | None, by: By) -> StudyData:
        figure = self._figure(name)
        configs = self._configs()
        labels = {entry.config_hash: entry.label for entry in self.entries}
        columns = self._axes(configs) if by == "axis" else []
        fields = [] if columns else columns_of_fields(list(configs.values()))
        factors = comparable_factors(columns or fields, len(configs))
        runs = self._runs(figure, {config_hash: i for i, config_hash in enumerate(configs)})
        changes = self._input_changes()
        used = [run for run in runs if run.used]
        executors = [entry.executor for entry in self.entries if entry.status == "completed"]
        execution = self._execution()
        protocol = None if self.result is None else self.result.measurement_protocol
        order = execution or protocol
        return StudyData(
            folder=self.folder,
            name=self.manifest.study_name,
            study_design_hash=self.manifest.study_design_hash,
            status=self.manifest.status,
            is_running=self.running,
            figure=figure,
            by="axis" if columns else "field",
            factors=factors.factors,
            dropped=factors.dropped,
            points=tuple(self._points(factors, configs)),
            runs=tuple(runs),
            n_cycles=len({entry.cycle for entry in self.entries}),
            execution=execution,
            protocol=protocol,
            manifest=self.manifest,
            problems=tuple(self.problems),
            other_machines=(
                *self.others.sentences,
                *points_elsewhere(runs, [labels[config_hash] for config_hash in configs]),
            ),
            caveats=(
                *self._late_points(),
                *self.others.caveats,
                *caveats(
                    runs,
                    figure,
                    list(configs.values()),
                    cycle_order=None if order is None else order.cycle_order,
                    executors=[executor for executor in executors if executor],
                    changed_files=changed_files(self.folder, self.manifest),
                    input_changes=changes,
                ),
            ),
            reason=why_not_comparable(used, figure, changes),
            input_changes=tuple(changes),
        )

    def _late_points(self) -> tuple[str, ...]:
        comparisons = None if self.result is None else self.result.summary.comparisons
        return () if comparisons is None else comparisons.late_points

    def _study(self) -> StudyConfig | None:
        try:
            return read_study(self.folder)
        except StudyError as error:
            self.problems.append(str(error))
            return None

    def _execution(self) -> ExecutionConfig | None:
        """Return how the study ran, also where the package of its backend is not installed."""
        if self.study is not None:
            return self.study.execution
        with contextlib.suppress(ForeignFileError, OSError, ValueError, TypeError, KeyError):
            with opened(self.folder / "study_resolved.json", follow_links=False) as file:
                data = json.loads(file.read(_MAX_RESOLVED_BYTES))
            return ExecutionConfig.model_validate(data["execution"])
        return None

    def _result(self) -> StudyResult | None:
        """Return the result of the study; a running study has none yet, or an old one.

        That of a divided study is merged here if runs have ended since it was last merged.
        """
        if self.manifest.status == "running":
            return None
        try:
            if self.manifest.is_divided and not is_merged(self.folder):
                has_runs = self.manifest.totals.completed > 0
                return merge_study(self.folder, write=False) if has_runs else None
            if not os.path.lexists(self.folder / "study_result.json"):
                return None
            return read_study_result(self.folder)
        except StudyError as error:
            self.problems.append(str(error))
            return None

    def _figure(self, name: str | None) -> FigureInfo:
        facts = [reading.facts for reading in self.readings if reading.facts is not None]
        measured = {figure for item in facts for figure in item.values}
        if name is None:
            comparable = (
                reading.facts.values
                for entry, reading in zip(self.entries, self.readings, strict=True)
                if reading.facts is not None and entry.index not in self.others.reasons
            )
            return FIGURES[ENERGY if any(ENERGY in each for each in comparable) else SPEED].info
        if facts and name not in measured:
            names = ", ".join(figure for figure in FIGURES if figure in measured)
            raise ReportError(f"{self.folder}: no run has {name}; the runs have {names}")
        return FIGURES[name].info

    def _points(
        self, factors: Factors, configs: Mapping[str, Mapping[str, Any]]
    ) -> list[StudyPoint]:
        labels = {entry.config_hash: entry.label for entry in self.entries}
        return [
            StudyPoint(
                config_hash=config_hash, label=labels[config_hash], levels=levels, config=config
            )
            for (config_hash, config), levels in zip(configs.items(), factors.levels, strict=True)
        ]

    def _configs(self) -> dict[str, Mapping[str, Any]]:
        """Return the configuration of every planned point by its hash, in the order of the study."""
        planned = dict.fromkeys(entry.config_hash for entry in self.entries)
        configs: dict[str, Mapping[str, Any]] = {}
        if self.study is not None:
            experiments = zip(self.study.config_hashes, self.study.experiments, strict=True)
            configs = {name: canonical(config) for name, config in experiments if name in planned}
        return configs | {
            name: self.measured_configs.get(name, {}) for name in planned if name not in configs
        }

    def _axes(self, hashes: Iterable[str]) -> list[Column]:
        """Return the axes of the sweep; none if they were not recorded."""
        if self.study is None or not self.study.factors or not self.entries:
            return []
        rows = dict(zip(self.study.config_hashes, self.study.levels, strict=True))
        nowhere = (None,) * len(self.study.factors)
        levels = zip(*(rows.get(config_hash, nowhere) for config_hash in hashes), strict=True)
        return [
            Column(factor.key, factor.levels, factor.numeric, of_points)
            for factor, of_points in zip(self.study.factors, levels, strict=True)
        ]

    def _runs(self, figure: FigureInfo, points: Mapping[str, int]) -> list[StudyRun]:
        outliers = self._outliers(figure)
        runs = []
        for entry, reading in zip(self.entries, self.readings, strict=True):
            value = None if reading.facts is None else reading.facts.values.get(figure.name)
            elsewhere = self.others.reasons.get(entry.index)
            quality = reading.qualities.get(figure.name, _OK if reading.facts else _MISSING)
            runs.append(
                StudyRun(
                    index=entry.index,
                    cycle=entry.cycle,
                    session=entry.session,
                    shard=entry.shard,
                    point=points[entry.config_hash],
                    status=self._status(entry),
                    value=value,
                    quality=quality.status,
                    used=value is not None and value > 0 and elsewhere is None,
                    other_machine=elsewhere,
                    reasons=quality.reasons if reading.facts else _why_missing(entry, reading),
                    started_at=entry.started_at,
                    gpu_temperature_c=_temperature_c(entry, reading),
                    is_outlier=entry.index in outliers,
                    facts=reading.facts,
                )
            )
        return runs

    def _outliers(self, figure: FigureInfo) -> set[int]:
        """Return the runs that the study listed as outliers by this figure."""
        if self.result is None:
            return set()
        outliers = self.result.summary.outliers
        return {outlier.index for outlier in outliers if outlier.figure == figure.name}

    def _status(self, entry: ManifestEntry) -> RunStatus:
        # The process of the study was killed during this run.
        if entry.status == "running" and self.running is False:
            return "interrupted"
        return entry.status

    def _input_changes(self) -> tuple[str, ...]:
        changes = self.manifest.input_changes
        if self.result is not None:
            changes = (*changes, *self.result.summary.input_changes)
        return tuple(dict.fromkeys(changes))


def _temperature_c(entry: ManifestEntry, reading: RunReading) -> float | None:
    """Return the temperature of the hottest metered GPU just before a run."""
    temperatures_c = entry.gpu_temperatures_c or {}
    devices = () if reading.facts is None else reading.facts.devices
    metered = [temperatures_c[device] for device in devices if device in temperatures_c]
    return max(metered or temperatures_c.values(), default=None)


def _why_missing(entry: ManifestEntry, reading: RunReading) -> tuple[str, ...]:
    if reading.problem is not None:
        return (reading.problem,)
    parts = [part for part in (entry.error_type, entry.error_message) if part]
    return (": ".join(parts),) if parts else ()
