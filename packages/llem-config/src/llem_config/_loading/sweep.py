"""The grid of a study: pure functions on plain data, before any validation."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from llem_config._loading.layers import get, has, merge
from llem_config._loading.yaml_places import Route
from llem_config._spec.capabilities import BACKENDS
from llem_config._spec.experiment import ExperimentConfig


@dataclass(frozen=True, slots=True)
class Alternative:
    """One value of an axis."""

    data: Mapping[str, Any]
    """The fields that it sets, as nested data."""
    at: Route
    """Route of the value in the study file."""
    n_covered: int
    """Number of parts of the field's route that `at` replaces; 0 for a group."""

    def for_backend(self, backend: str) -> Alternative | None:
        """Return it without the sections of other backends; None if it sets only those."""
        foreign = [name for name in BACKENDS if name in self.data and name != backend]
        if not foreign:
            return self
        if backend not in self.data:
            return None
        data = {key: value for key, value in self.data.items() if key not in foreign}
        return Alternative(data, self.at, self.n_covered)


@dataclass(frozen=True, slots=True)
class Axis:
    """One dimension of the grid."""

    key: str
    """As written in the study file."""
    alternatives: tuple[Alternative, ...]

    def for_backend(self, backend: str) -> Axis | None:
        """Return the axis with the alternatives that apply to a backend; None if there are none."""
        parts = (item.for_backend(backend) for item in self.alternatives)
        kept = tuple(part for part in parts if part is not None)
        return Axis(self.key, kept) if kept else None


def axes_for(axes: Sequence[Axis], backend: str) -> tuple[Axis, ...]:
    """Return the axes that apply to a backend, in file order."""
    return tuple(part for axis in axes if (part := axis.for_backend(backend)))


def count(axes: Sequence[Axis]) -> int:
    """Return the number of points of a grid without building them."""
    return math.prod(len(axis.alternatives) for axis in axes)


def grid(
    fixed: Mapping[str, Any], axes: Sequence[Axis]
) -> Iterator[tuple[Mapping[str, Any], tuple[Alternative, ...]]]:
    """Yield every point of the product, with its alternatives; the last axis changes fastest."""
    for alternatives in itertools.product(*(axis.alternatives for axis in axes)):
        yield functools.reduce(merge, (item.data for item in alternatives), fixed), alternatives


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `exclude`: it drops the points that meet all its conditions."""

    data: Mapping[str, Any]
    at: Route
    """Route of the entry in the study file."""
    conditions: tuple[tuple[Route, Any], ...]
    """Each field with the value that it must have."""

    def matches(self, point: Mapping[str, Any], completed: object) -> bool:
        """Return whether a point meets every condition.

        Args:
            point: as written, all layers merged.
            completed: the validated experiment, for the fields that the point does not set; any
                other object stands for an experiment with default values.
        """
        for route, wanted in self.conditions:
            value = get(point, route) if has(point, route) else field_value(completed, route)
            if not _same(value, wanted):
                return False
        return True


def field_value(config: object, route: Route) -> Any:
    """Return the value of a field of a validated experiment, as plain data.

    Any other object stands for an experiment with default values.
    """
    value: Any = config if isinstance(config, ExperimentConfig) else _DEFAULTS
    for part in route:
        if isinstance(value, BaseModel):
            value = getattr(value, str(part), None) if part in type(value).model_fields else None
        else:
            value = get(value, (part,))
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value


_DEFAULTS = ExperimentConfig(model="any")


def _same(left: Any, right: Any) -> bool:
    # True == 1 in Python, but `n: true` is not `n: 1` in a file.
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)
