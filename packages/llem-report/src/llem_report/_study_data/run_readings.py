"""The results of a study, read one after the other; only what an analysis needs is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from llem_energy import ExperimentResult
from llem_energy.records import Quality
from llem_report._study_data.figure import MISSING
from llem_report._study_data.figures import FIGURES, SHARES
from llem_report._study_data.phase_uses import phase_uses
from llem_report._study_data.planned_runs import read_planned_run
from llem_report._study_data.site import NO_SITE, Site
from llem_report._study_data.study_data import RunFacts
from llem_runner.records import ManifestEntry, machine_kind, meter_of

Values = Mapping[str, float | None]
"""Figures of a result by name."""


class RunReading(NamedTuple):
    """What is kept of one planned run, or why nothing is."""

    facts: RunFacts | None
    qualities: dict[str, Quality]
    """Of the figures that are not `ok`, by name."""
    problem: str | None
    """Why the stored result cannot be used."""


Visit = Callable[[ExperimentResult], None]


class RunReader:
    """Reads the results of one study.

    A result of 100 kB leaves about 2 kB: equal texts of different runs are kept once.
    """

    def __init__(self, folder: Path, visit: Visit | None = None, site: Site = NO_SITE) -> None:
        """Call `visit` with each result, which is then forgotten.

        Args:
            folder: of the study.
            visit: see above.
            site: where the study was measured, for emissions and cost.
        """
        self._folder = folder
        self._site = site
        self._visit = visit
        self._shared: dict[Any, Any] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        """The configuration of each point with a result, by hash."""

    def read(self, entry: ManifestEntry) -> RunReading:
        """Return what is kept of a run; a damaged result is a problem, not an error."""
        result, problem, _ = read_planned_run(self._folder, entry)
        if result is None:
            return RunReading(None, {}, problem)
        if self._visit is not None:
            self._visit(result)
        self.configs.setdefault(entry.config_hash, result.config)
        values = {name: figure.value(result, self._site) for name, figure in FIGURES.items()}
        return RunReading(self._facts(result, values), self._qualities(result, values), None)

    def _facts(self, result: ExperimentResult, values: Values) -> RunFacts:
        energy_j, bound_j = result.energy_total_j, result.energy_bound_j
        return RunFacts(
            values={name: value for name, value in values.items() if value is not None},
            shares={
                name: value
                for name, figure in SHARES.items()
                if (value := figure.value(result)) is not None
            },
            energy_source=self._share(meter_of(result)),
            energy_method=self._share(result.energy_method),
            devices=self._share(tuple(sorted(result.energy_per_device_j))),
            boards=self._share(_boards(result)),
            energy_bound_share=bound_j / energy_j if energy_j and bound_j is not None else None,
            warnings=self._texts(result.measurement_warnings),
            kind=self._share(machine_kind(result)),
            quality=self._share(result.quality),
            phases=phase_uses(result),
        )

    def _qualities(self, result: ExperimentResult, values: Values) -> dict[str, Quality]:
        rated = {name: FIGURES[name].quality_of(result, value) for name, value in values.items()}
        return {
            name: quality
            if quality is MISSING  # most figures of most runs
            else self._share(Quality(quality.status, self._texts(quality.reasons)))
            for name, quality in rated.items()
            if quality.status != "ok"
        }

    def _texts(self, texts: Iterable[str]) -> tuple[str, ...]:
        shared: tuple[str, ...] = self._share(tuple(map(self._share, texts)))
        return shared

    def _share(self, value: Any) -> Any:
        """Return an equal value that is already kept, if there is one."""
        return self._shared.setdefault(value, value)


def _boards(result: ExperimentResult) -> tuple[str, ...]:
    """Return the names of the metered GPUs, or of all GPUs if none of them was metered."""
    gpus = result.environment_snapshot.gpus
    metered = [gpu.name for gpu in gpus if gpu.uuid in result.energy_per_device_j]
    return tuple(sorted(metered or {gpu.name for gpu in gpus}))
