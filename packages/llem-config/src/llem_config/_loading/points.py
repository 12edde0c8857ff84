"""The points of a study: the grid and the explicit entries, each validated, each once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from llem_config._errors import Fault
from llem_config._loading.fault_messages import found, sentence
from llem_config._loading.layers import Source, get, has, locate, merge
from llem_config._loading.reader import Reader, experiment_schema, leaves, overlap
from llem_config._loading.sweep import Axis, Rule, axes_for, count, grid
from llem_config._loading.yaml_document import Document, Route
from llem_config._spec.capabilities import BACKENDS, INCOMPATIBLE
from llem_config._spec.experiment import ExperimentConfig
from llem_config._spec.pytorch import own_plain
from llem_config._spec.study import SkippedPoint

MAX_EXPERIMENTS = 10_000


class Points:
    """Builds the points of one study file and keeps what became of each."""

    def __init__(self, document: Document, fixed: list[Source], top: Source, read: Reader) -> None:
        self.document = document
        self.fixed = fixed  # lowest layer first
        self.top = top  # the command line's
        self.read = read
        self.points: list[ExperimentConfig] = []
        self.skipped: list[SkippedPoint] = []
        self.n_excluded = 0
        self.home = Source(document, {})  # what no layer sets is missing from the file as a whole

    def expand(self) -> None:
        """Add every point of the grid, then every explicit entry."""
        axes = self.read.axes(self.document)
        entries = self.read.entries(self.document)
        named, axes = self._backends(axes)
        backends = named or ["pytorch"]
        has_grid = "sweep" in self.document.data or "experiments" not in self.document.data
        used = [*(backends if has_grid else ()), *self._entry_backends(entries, backends)]
        used = list(dict.fromkeys(used))
        rules = self.read.rules(self.document)
        if named:  # else a backend is misspelt, and every section would look foreign
            self._check_axes(axes, backends)
            self._check_sections(used)
            self._check_hidden(used)
            self._check_rules(rules, used)
        self._check_overrides(axes)
        most = self._most_points()
        grids = [(backend, axes_for(axes, backend)) for backend in backends] if has_grid else []
        n_points = sum(count(own) for _, own in grids) + len(entries)
        if n_points > most:
            where: Route = ("sweep",) if "sweep" in self.document.data else ("experiments",)
            problem = f"expected at most {most} points (max_experiments), found {n_points}"
            self.read.add(self.document, where, problem, at_key=True)
            return
        for backend, own in grids:
            self._grid(backend, own, rules)
        fixed = {name: self._fixed_for(name) for name in dict.fromkeys([*BACKENDS, *backends])}
        for at, entry in entries:
            self._entry(at, entry, backends, fixed)

    def _grid(self, backend: str, axes: tuple[Axis, ...], rules: list[Rule]) -> None:
        fixed = self._fixed_for(backend)
        base = merge(merged(fixed), {"backend": backend})
        top = _for_backend(self.top, backend)
        for data, chosen in grid(base, axes):
            point = merge(data, top.data) if top.data else data
            config = None
            if rules:
                config = _validated(point)
                if any(rule.matches(point, config) for rule in rules):
                    self.n_excluded += 1
                    continue
            swept = [
                Source(self.document, item.data, item.at, item.n_covered)
                for item in reversed(chosen)
            ]
            self.add(point, [top, *swept, *reversed(fixed)], self.home, config)

    def _fixed_for(self, backend: str) -> list[Source]:
        return [_for_backend(source, backend) for source in self.fixed]

    def _entry(
        self,
        at: Route,
        entry: dict[str, Any],
        backends: list[str],
        fixed_for: Mapping[str, list[Source]],
    ) -> None:
        if len(backends) > 1 and "backend" not in entry:
            problem = "name the backend of this point: the study has several"
            self.read.add(self.document, at, problem)
            return
        backend = self.top.data.get("backend", entry.get("backend", backends[0]))
        # A misspelt backend has no sources of its own, and need not be hashable.
        known = isinstance(backend, str) and backend in fixed_for
        fixed = fixed_for[backend] if known else self._fixed_for(backend)
        own = Source(self.document, entry, at)
        point = merge({"backend": backend}, merged([*fixed, own, self.top]))
        self.add(point, [self.top, own, *reversed(fixed)], own)

    def _entry_backends(
        self, entries: list[tuple[Route, dict[str, Any]]], backends: list[str]
    ) -> list[str]:
        if "backend" in self.top.data:
            return backends if entries else []
        named = [entry.get("backend", backends[0]) for _, entry in entries]
        return [name for name in named if name in BACKENDS]

    def add(
        self,
        data: Mapping[str, Any],
        sources: list[Source],
        home: Source,
        config: ExperimentConfig | ValidationError | None = None,
    ) -> None:
        """Validate one point and book it: a new point, a duplicate, skipped, or a mistake.

        Args:
            data: the point, all layers merged.
            sources: its layers, highest first.
            home: where a missing field would be added.
            config: what validation made of it, where that is known.
        """
        config = config or _validated(data)
        if isinstance(config, ValidationError):
            errors = config.errors(include_url=False)
            if all(item["type"] == INCOMPATIBLE for item in errors):
                reason = "; ".join(item["msg"] for item in errors)
                self.skipped.append(SkippedPoint(config=own_plain(data), reason=reason))
            else:
                self.read.faults += faults_of(config, sources, experiment_schema(), data, home)
            return
        self.points.append(config)

    def _backends(self, axes: list[Axis]) -> tuple[list[str], list[Axis]]:
        """Return the backends of the grid and the axes without a `backend` axis.

        No backend at all means that the one that is named is a mistake.
        """
        if "backend" in self.top.data:
            value = self.top.data["backend"]
            if any(axis.key == "backend" for axis in axes):
                return [], axes  # `_check_overrides` says that a swept key cannot be set
            return self.read.backends(self.top.document, ("backend",), value), axes
        for axis in axes:
            if axis.key == "backend":
                value = self.document.data["sweep"]["backend"]
                names = self.read.backends(self.document, ("sweep", "backend"), value)
                return names, [other for other in axes if other is not axis]
        for source in reversed(self.fixed):
            if "backend" in source.data:
                value = source.data["backend"]
                return self.read.backends(source.document, ("backend",), value), axes
        return ["pytorch"], axes

    def _check_axes(self, axes: list[Axis], backends: list[str]) -> None:
        for axis in axes:
            for item in axis.alternatives:
                for name in BACKENDS:
                    if name in item.data and name not in backends:
                        used = " and ".join(backends)
                        problem = f"this study does not use {name}, only {used}"
                        place = item.at[:2] if item.n_covered else (*item.at, name)
                        self.read.add(self.document, place, problem, at_key=True)

    def _check_overrides(self, axes: list[Axis]) -> None:
        swept = [(axis, item) for axis in axes for item in axis.alternatives]
        for route, _ in leaves(self.top.data):
            for axis, item in swept:
                if any(overlap(route, other) for other, _ in leaves(item.data)):
                    place = self.document.fault(("sweep", axis.key), "", at_key=True)
                    problem = (
                        f"this key is swept in {self.document.file}:{place.line}; change it there"
                    )
                    self.read.add(self.top.document, route, problem)
                    break

    def _check_sections(self, used: list[str]) -> None:
        names = " and ".join(used)
        for source in (*self.fixed, self.top):
            for name in BACKENDS:
                if name not in used and source.data.get(name) is not None:
                    problem = f"a section for {name}, but the backend is {names}; remove one"
                    self.read.faults.append(source.fault((name,), problem, at_key=True))

    def _check_hidden(self, used: list[str]) -> None:
        """Add a fault for each wrong value, even if a higher layer replaces it in every point."""
        for backend in used:
            for source in (_for_backend(fixed, backend) for fixed in self.fixed):
                self._check_alone(source, backend)

    def _check_alone(self, source: Source, backend: str) -> None:
        data = {"model": "any", "backend": backend, **source.data}
        try:
            ExperimentConfig.model_validate(data)
        except ValidationError as error:
            faults = faults_of(error, [source], experiment_schema(), data, source, partial=True)
            self.read.faults += faults

    def _check_rules(self, rules: list[Rule], used: list[str]) -> None:
        """Add a fault for each condition that no point could ever meet."""
        for rule in rules:
            sections = [name for name in BACKENDS if name in rule.data]
            for name in sections:
                if name not in used:
                    problem = f"this study does not use {name}, only {' and '.join(used)}"
                    self.read.add(self.document, (*rule.at, name), problem, at_key=True)
            source = Source(self.document, rule.data, rule.at)
            self._check_alone(source, (*sections, "pytorch")[0])

    def _most_points(self) -> int:
        value = self.top.document.data.get(
            "max_experiments", self.document.data.get("max_experiments", MAX_EXPERIMENTS)
        )
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            problem = f"expected a whole number >= 1, found {found(value)}"
            given = "max_experiments" in self.top.document.data
            document = self.top.document if given else self.document
            self.read.add(document, ("max_experiments",), problem)
            return MAX_EXPERIMENTS
        return value


def _validated(data: Mapping[str, Any]) -> ExperimentConfig | ValidationError:
    """Return the experiment, or why the data make none."""
    try:
        return ExperimentConfig.model_validate(data)
    except ValidationError as error:
        return error


def _for_backend(source: Source, backend: Any) -> Source:
    """Return a source without the choice of backend and without other backends' sections."""
    foreign = ["backend", *(name for name in BACKENDS if name != backend)]
    data = {key: value for key, value in source.data.items() if key not in foreign}
    return Source(source.document, data, source.at)


def merged(sources: Iterable[Source]) -> dict[str, Any]:
    """Return the data of sources merged, lowest layer first."""
    result: dict[str, Any] = {}
    for source in sources:
        result = merge(result, source.data)
    return result


def faults_of(
    error: ValidationError,
    sources: list[Source],
    schema: Mapping[str, Any],
    data: Mapping[str, Any],
    home: Source,
    *,
    partial: bool = False,
) -> list[Fault]:
    """Return every mistake in a validation error, each at the source that made it.

    Args:
        error: what validation found.
        sources: the layers of the data, highest first.
        schema: the model's, which says what was expected.
        data: what was validated.
        home: where a missing field would be added.
        partial: the data need not be complete or fit together.
    """
    # The default of `weights` follows from the model: where that is wrong, it is no second mistake.
    passed = [INCOMPATIBLE, "default_factory_not_called"]
    passed += ["missing", "llem_section"] if partial else []
    faults = []
    for item in error.errors(include_url=False):
        if item["type"] in passed:
            continue
        route = item["loc"]
        while route and not has(data, route) and item["type"] != "missing":
            route = route[:-1]  # pydantic adds steps of its own, such as a union's branch
        at = item.get("ctx", {}).get("at")
        if at is not None:
            route = (*route, at)
        problem = sentence({**item, "input": get(data, route)}, schema, route)
        at_key = item["type"] in ("extra_forbidden", "llem_section")
        faults.append(locate(sources, route, problem, home, at_key=at_key))
    return faults
