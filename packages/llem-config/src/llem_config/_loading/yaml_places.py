"""Routes through a document, and the line and column of the value at a route.

The standard loader of PyYAML returns plain data without places. This module finds a place in the
node graph of PyYAML, and only for a fault, so that a file without faults does not pay for it.
`benchmarks/config_speed.py` prints the cost: a whole explicit list of 10,000 points, with places,
duplicate keys and validation, takes about twice as long as `yaml.load` alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from llem_config._faults import LINE_BREAK

Route = tuple[str | int, ...]
"""Mapping keys and list positions (0-based) from the root down to a value."""

MERGE = "<<"
"""The key that merges another mapping into this one."""


@dataclass(frozen=True, slots=True)
class Place:
    """The 1-based line and column of a key or value; 0, 0 if the source has no lines."""

    line: int
    column: int


def spell(route: Route) -> str:
    """Return a route as people write it: `sweep.pytorch.batch_size[2]`."""
    text = ""
    for part in route:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def start_of(node: Any) -> Place:
    """Return the place of the first character of a node or event."""
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def end_of(text: str) -> Place:
    """Return the place after the last character of a text."""
    lines = LINE_BREAK.split(text)
    return Place(len(lines), len(lines[-1]) + 1)


def merge_sources(node: Any) -> list[Any]:
    """Return the mappings that a merge key names; other values are left out."""
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return [source for source in nodes if isinstance(source, yaml.MappingNode)]


class Places:
    """Finds places in a node graph. The keys of each mapping are indexed when it is first visited."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._pairs: dict[int, dict[str, list[Any]]] = {}

    def find(self, route: Route, *, at_key: bool) -> Place:
        """Return the place of the longest part of `route` that exists below the root.

        Args:
            route: from the root down; it may continue below what the document contains.
            at_key: return the place of the key instead of the place of its value.
        """
        longest, place = 0, start_of(self._root)
        for depth, candidate in self._along(self._root, route, 0, at_key):
            if depth > longest:
                longest, place = depth, candidate
        return place

    def _along(
        self, node: Any, route: Route, depth: int, at_key: bool
    ) -> Iterator[tuple[int, Place]]:
        """Yield every place on the way along `route[depth:]`, with the depth that it reaches."""
        rest = route[depth:]
        if not rest:
            return
        if isinstance(node, yaml.SequenceNode) and isinstance(rest[0], int):
            if rest[0] < len(node.value):
                child = node.value[rest[0]]
                yield depth + 1, start_of(child)
                yield from self._along(child, route, depth + 1, at_key)
        elif isinstance(node, yaml.MappingNode):
            for key_node, child in self._candidates(node, rest[0]):
                n_parts = _n_matching_parts(str(key_node.value), rest)
                if n_parts:
                    yield depth + n_parts, start_of(key_node if at_key else child)
                    yield from self._along(child, route, depth + n_parts, at_key)
                elif key_node.value == MERGE:
                    for source in merge_sources(child):
                        yield from self._along(source, route, depth, at_key)

    def _candidates(self, node: Any, part: str | int) -> list[Any]:
        """Return the entries of a mapping that may lead to a part: its key, `part.x`, and merges."""
        if id(node) not in self._pairs:
            pairs: dict[str, list[Any]] = {}
            for pair in node.value:
                key = str(pair[0].value)
                for name in {key, key.partition(".")[0]}:
                    pairs.setdefault(name, []).append(pair)
            self._pairs[id(node)] = pairs
        pairs = self._pairs[id(node)]
        found = pairs.get(str(part), [])
        # The key `a` is tried before the key `a.b`.
        found = sorted(found, key=lambda pair: bool(pair[0].value != part))
        return found if part == MERGE else [*found, *pairs.get(MERGE, ())]


def _n_matching_parts(key: str, rest: Route) -> int:
    """Return how many parts of the route a written key matches: `a.b` matches two, or none.

    A route may end inside a written key, because `a.b` also sets `a`.
    """
    if rest[0] == key:
        return 1
    parts = tuple(key.split("."))
    length = min(len(parts), len(rest))
    return length if parts[:length] == rest[:length] else 0
