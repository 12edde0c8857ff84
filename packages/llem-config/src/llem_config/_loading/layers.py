"""Plain data in layers: merging, dotted keys, and which source set a value.

No function changes its arguments; each returns new data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llem_config._faults import Fault
from llem_config._loading.yaml_document import Document
from llem_config._loading.yaml_places import Route

_MISSING = object()

SHORT_FORMS = {"dataset": "source"}
"""Sections that may be written as a text, with the field that the text is the value of."""


def merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Return `low` overridden by `high`; mappings merge deeply, other values are replaced.

    A section in its short form, such as `dataset: prompts.jsonl`, keeps its text if `high` sets
    another field of it.
    """
    result = dict(low)
    for key, value in high.items():
        below = result.get(key)
        if isinstance(below, str) and key in SHORT_FORMS:
            below = {SHORT_FORMS[key]: below}
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = merge(below, value)
        else:
            result[key] = value
    return result


def nested(route: Route, value: Any) -> dict[str, Any]:
    """Return nested mappings that contain only `value`, at `route`."""
    for part in reversed(route):
        value = {part: value}
    return value  # type: ignore[no-any-return]  # a route has at least one part


def get(data: Any, route: Route) -> Any:
    """Return the value at `route`, or None if there is none; see `has`."""
    value = _value_at(data, route)
    return None if value is _MISSING else value


def has(data: Any, route: Route) -> bool:
    """Return whether `data` contains a value at `route`."""
    return _value_at(data, route) is not _MISSING


def _value_at(data: Any, route: Route) -> Any:
    above: str | int | None = None
    for part in route:
        is_short = isinstance(data, str) and SHORT_FORMS.get(str(above)) == part
        data = data if is_short else _step(data, part)
        above = part
    return data


def _step(data: Any, part: str | int) -> Any:
    if isinstance(part, str) and isinstance(data, Mapping):
        return data.get(part, _MISSING)
    if isinstance(part, int) and isinstance(data, list) and part < len(data):
        return data[part]
    return _MISSING


@dataclass(frozen=True, slots=True)
class Source:
    """Data for a point from one place of one document."""

    document: Document
    data: Mapping[str, Any]
    at: Route = ()
    """Route of the data in the document."""
    n_covered: int = 0
    """Number of leading parts of a point's route that `at` replaces: 2 for a value of the axis
    `pytorch.batch_size`."""
    written: Mapping[str | int, str] = field(default_factory=dict)
    """The name in the document of each field that it writes under another name."""

    def fault(self, route: Route, problem: str, *, at_key: bool) -> Fault:
        """Return a fault at the place where this source sets `route`, below the experiment."""
        below = route[self.n_covered :]
        if below:
            below = (self.written.get(below[0], below[0]), *below[1:])
        return self.document.fault((*self.at, *below), problem, at_key=at_key)


def merged(sources: Iterable[Source]) -> dict[str, Any]:
    """Return the merged data of sources, lowest layer first."""
    result: dict[str, Any] = {}
    for source in sources:
        result = merge(result, source.data)
    return result


def locate(
    sources: Sequence[Source], route: Route, problem: str, home: Source, *, at_key: bool = False
) -> Fault:
    """Return a fault at the source that set `route`.

    Args:
        sources: highest layer first. The fault is at the first one that sets the route, or the
            longest part of it.
        route: below the experiment, e.g. `("pytorch", "batch_size")`.
        problem: the message.
        home: where a person would add a value that no source sets.
        at_key: return the place of the key instead of the place of its value.
    """
    source, depth = setter_of(sources, route)
    if source is None:
        return _below(home.document.fault(home.at, problem), route)
    return _below(source.fault(route[:depth], problem, at_key=at_key), route[depth:])


def setter_of(sources: Sequence[Source], route: Route) -> tuple[Source | None, int]:
    """Return the source that set a route, and the length of the part of the route that it sets."""
    for depth in range(len(route), 0, -1):
        for source in sources:
            if has(source.data, route[:depth]):
                return source, depth
    return None, 0


def _below(fault: Fault, rest: Route) -> Fault:
    """Return a fault at the same place, with the missing rest of the route added to its key."""
    return replace(fault, key=".".join(part for part in (fault.key, *map(str, rest)) if part))
