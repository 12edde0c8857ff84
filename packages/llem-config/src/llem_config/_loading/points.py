"""The points of a study: the grid and the explicit entries, each validated."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from llem_config._loading.factors import Factors
from llem_config._loading.fault_messages import describe_value
from llem_config._loading.layers import Source, merge, merged
from llem_config._loading.paths import PathFinder
from llem_config._loading.reader import Reader, experiment_schema, leaves, overlap
from llem_config._loading.sweep import Axis, Rule, axes_for, count, grid
from llem_config._loading.validation_faults import faults_of
from llem_config._loading.yaml_document import Document
from llem_config._loading.yaml_places import Route
from llem_config._spec.capabilities import BACKENDS, INCOMPATIBLE
from llem_config._spec.experiment import ExperimentConfig
from llem_config._spec.factors import Factor, LevelRow
from llem_config._spec.limits import MAX_COUNT
from llem_config._spec.strict import plain_copy
from llem_config._spec.study import SkippedPoint

MAX_EXPERIMENTS = 10_000


class Points:
    """Makes the points of one study file: valid ones, skipped ones, or faults.

    Args:
        document: the study file.
        fixed: the layers that are the same for every point, lowest first.
        overrides: the layer of the command line.
        reader: reads the parts of the document and keeps all faults.
    """

    def __init__(
        self, document: Document, fixed: list[Source], overrides: Source, reader: Reader
    ) -> None:
        self.document = document
        self.fixed = fixed
        self.overrides = overrides
        self.reader = reader
        self.valid: list[ExperimentConfig] = []
        self.factors: tuple[Factor, ...] = ()
        self.levels: list[LevelRow] = []
        """Of each valid point in a study with a sweep."""
        self.skipped: list[SkippedPoint] = []
        self.n_excluded = 0
        self._path_finder = PathFinder()
        self.warnings: list[str] = []
        self._effective_rules: set[Route] = set()
        self.home = Source(document, {})  # a field that no layer sets is missing in the whole file

    def expand(self) -> None:
        """Add every point of the grid, then every explicit entry."""
        axes = self.reader.axes(self.document)
        sweeps_backend = any(axis.key == "backend" for axis in axes)
        entries = self.reader.entries(self.document)
        valid_backends, axes = self._backends(axes)
        backends = valid_backends or ["pytorch"]
        has_grid = "sweep" in self.document.data or "experiments" not in self.document.data
        used = [*(backends if has_grid else ()), *self._entry_backends(entries, backends)]
        used = list(dict.fromkeys(used))
        rules = self.reader.rules(self.document)
        # If every backend is misspelt, these checks would report every section.
        if valid_backends and used:
            self._check_axes(axes, backends)
            self._check_sections(used)
            self._check_hidden(used)
            self._check_rules(rules, used)
        self._check_overrides(axes)
        grids = [(backend, axes_for(axes, backend)) for backend in backends] if has_grid else []
        n_points = sum(count(backend_axes) for _, backend_axes in grids) + len(entries)
        max_points = self._max_points()
        if n_points > max_points:
            place: Route = ("sweep",) if "sweep" in self.document.data else ("experiments",)
            problem = (
                f"expected at most {max_points} points (max_experiments), found {_in_words(n_points)}; "
                "sweep fewer values or raise max_experiments"
            )
            self.reader.add(self.document, place, problem, at_key=True)
            return
        factors = Factors(backends if has_grid else (), axes, sweeps_backend=sweeps_backend)
        for backend, backend_axes in grids:
            self._add_grid(backend, backend_axes, rules, factors)
        for rule in rules:
            if rule.at not in self._effective_rules:
                problem = "this rule matches no point; compare its values with those of the sweep"
                self.warnings.append(str(self.document.fault(rule.at, problem)))
        fixed = {name: self._fixed_for(name) for name in dict.fromkeys([*BACKENDS, *backends])}
        for at, entry in entries:
            self._add_entry(at, entry, backends, fixed, factors)
        if not self.reader.faults:
            self.factors = factors.factors()

    def add_single(self) -> None:
        """Add the one point of a file without sweep and list."""
        sources = [self.overrides, *reversed(self.fixed)]
        self._add(merged(reversed(sources)), sources, self.home)

    def _add_grid(
        self, backend: str, axes: tuple[Axis, ...], rules: list[Rule], factors: Factors
    ) -> None:
        fixed = self._fixed_for(backend)
        lowest = merge(merged(fixed), {"backend": backend})
        overrides = _for_backend(self.overrides, backend)
        # A file with faults has no levels: its axes may not fit its backends.
        rows = itertools.repeat(()) if self.reader.faults else factors.rows(backend)
        for (data, alternatives), row in zip(grid(lowest, axes), rows, strict=False):
            if self.reader.faults.is_full:
                return  # the other points would repeat the mistakes
            point = merge(data, overrides.data) if overrides.data else data
            config = None
            if rules:
                config = _validated(point)
                if matching := [rule.at for rule in rules if rule.matches(point, config)]:
                    self._effective_rules.update(matching)
                    self.n_excluded += 1
                    continue
            swept = [
                Source(self.document, item.data, item.at, item.n_covered)
                for item in reversed(alternatives)
            ]
            if self._add(point, [overrides, *swept, *reversed(fixed)], self.home, config):
                self.levels.append(row)

    def _fixed_for(self, backend: str) -> list[Source]:
        return [_for_backend(source, backend) for source in self.fixed]

    def _add_entry(
        self,
        at: Route,
        entry: dict[str, Any],
        backends: list[str],
        fixed_for: Mapping[str, list[Source]],
        factors: Factors,
    ) -> None:
        if len(backends) > 1 and "backend" not in entry:
            problem = "name the backend of this point, because the study has several"
            self.reader.add(self.document, at, problem)
            return
        backend = self.overrides.data.get("backend", entry.get("backend", backends[0]))
        # A misspelt backend is not in `fixed_for`; it may even be a list, which cannot be a key.
        is_valid = isinstance(backend, str) and backend in fixed_for
        fixed = fixed_for[backend] if is_valid else self._fixed_for(backend)
        source = Source(self.document, entry, at)
        point = merge({"backend": backend}, merged([*fixed, source, self.overrides]))
        if config := self._add(point, [self.overrides, source, *reversed(fixed)], source):
            self.levels.append(factors.row(entry, config))

    def _entry_backends(
        self, entries: list[tuple[Route, dict[str, Any]]], backends: list[str]
    ) -> list[str]:
        if "backend" in self.overrides.data:
            return backends if entries else []
        names = [entry.get("backend", backends[0]) for _, entry in entries]
        return [name for name in names if name in BACKENDS]

    def _add(
        self,
        data: Mapping[str, Any],
        sources: list[Source],
        home: Source,
        config: ExperimentConfig | ValidationError | None = None,
    ) -> ExperimentConfig | None:
        """Validate a point, keep it as valid, as skipped or as faults, and return a valid one.

        Args:
            data: the point, all layers merged.
            sources: its layers, highest first.
            home: where a person would add a missing field.
            config: the result of the validation, if `data` is already validated.
        """
        config = config or _validated(data)
        if not isinstance(config, ValidationError):
            paths = self._path_finder.full_paths(data, sources)
            self.valid.append(config.model_copy(update={"paths": paths}) if paths else config)
            return config
        errors = config.errors(include_url=False)
        if all(item["type"] == INCOMPATIBLE for item in errors):
            reason = "; ".join(item["msg"] for item in errors)
            self.skipped.append(SkippedPoint(config=plain_copy(data), reason=reason))
        else:
            faults_of(config, sources, experiment_schema(), data, home, self.reader.faults)
        return None

    def _backends(self, axes: list[Axis]) -> tuple[list[str], list[Axis]]:
        """Return the backends of the grid, and the axes without the axis `backend`.

        An empty list of backends means that the file names only invalid ones.
        """
        if "backend" in self.overrides.data:
            value = self.overrides.data["backend"]
            if any(axis.key == "backend" for axis in axes):
                return [], axes  # `_check_overrides` reports that the key is swept
            return self.reader.backends(self.overrides.document, ("backend",), value), axes
        for axis in axes:
            if axis.key == "backend":
                value = self.document.data["sweep"]["backend"]
                names = self.reader.backends(self.document, ("sweep", "backend"), value)
                return names, [other for other in axes if other is not axis]
        for source in reversed(self.fixed):
            if "backend" in source.data:
                value = source.data["backend"]
                return self.reader.backends(source.document, ("backend",), value), axes
        return ["pytorch"], axes

    def _check_axes(self, axes: list[Axis], backends: list[str]) -> None:
        for axis in axes:
            for item in axis.alternatives:
                for name in BACKENDS:
                    if name in item.data and name not in backends:
                        used = " and ".join(backends)
                        problem = f"this study does not use {name}, only {used}"
                        place = item.at[:2] if item.n_covered else (*item.at, name)
                        self.reader.add(self.document, place, problem, at_key=True)

    def _check_overrides(self, axes: list[Axis]) -> None:
        swept = [(axis, item) for axis in axes for item in axis.alternatives]
        for route, _ in leaves(self.overrides.data):
            for axis, item in swept:
                if any(overlap(route, other) for other, _ in leaves(item.data)):
                    place = self.document.fault(("sweep", axis.key), "", at_key=True)
                    line = f":{place.line}" if place.line else ""
                    problem = f"this key is swept in {self.document.file}{line}; change it there"
                    self.reader.add(self.overrides.document, route, problem)
                    break

    def _check_sections(self, used: list[str]) -> None:
        names = " and ".join(used)
        for source in (*self.fixed, self.overrides):
            for name in BACKENDS:
                if name not in used and source.data.get(name) is not None:
                    problem = (
                        f"this section needs backend {name}, but the backend is {names}; change one"
                    )
                    self.reader.faults.add(source.fault((name,), problem, at_key=True))

    def _check_hidden(self, used: list[str]) -> None:
        """Add a fault for each wrong value that a higher layer replaces in every point."""
        for backend in used:
            for source in self._fixed_for(backend):
                self._check_alone(source, backend)

    def _check_alone(self, source: Source, backend: str) -> None:
        data = {"model": "any", "backend": backend, **source.data}
        config = _validated(data)
        if isinstance(config, ValidationError):
            schema = experiment_schema()
            faults = self.reader.faults
            faults_of(config, [source], schema, data, source, faults, partial=True)

    def _check_rules(self, rules: list[Rule], used: list[str]) -> None:
        """Add a fault for each condition that no point can meet."""
        for rule in rules:
            sections = [name for name in BACKENDS if name in rule.data]
            for name in sections:
                if name not in used:
                    problem = f"this study does not use {name}, only {' and '.join(used)}"
                    self.reader.add(self.document, (*rule.at, name), problem, at_key=True)
            source = Source(self.document, rule.data, rule.at)
            self._check_alone(source, (*sections, "pytorch")[0])

    def _max_points(self) -> int:
        overrides = self.overrides.document
        document = overrides if "max_experiments" in overrides.data else self.document
        value = document.data.get("max_experiments", MAX_EXPERIMENTS)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_COUNT:
            return value
        is_above = isinstance(value, int) and value > MAX_COUNT
        limit = f" and <= {MAX_COUNT}" if is_above else ""
        problem = f"expected a whole number >= 1{limit}, found {describe_value(value)}"
        self.reader.add(document, ("max_experiments",), problem)
        return MAX_EXPERIMENTS


def _in_words(number: int) -> str:
    # Python refuses to write a number of more than 4,300 digits, which 20 kB of axes have.
    return str(number) if number < 10**15 else "more than 10^15"


def _validated(data: Mapping[str, Any]) -> ExperimentConfig | ValidationError:
    """Return the experiment, or the error if the data are not valid."""
    try:
        return ExperimentConfig.model_validate(data)
    except ValidationError as error:
        return error


def _for_backend(source: Source, backend: Any) -> Source:
    """Return a source without its choice of a backend and without the other backends' sections."""
    foreign = ["backend", *(name for name in BACKENDS if name != backend)]
    data = {key: value for key, value in source.data.items() if key not in foreign}
    return Source(source.document, data, source.at)
