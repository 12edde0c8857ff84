"""Text to plain data, with the line and column of every key and value.

Only the parsing library's node graph is used. Scalars are resolved here by the core schema of
YAML 1.2, because that library follows YAML 1.1, where `1e-5` is a string, `on` is a boolean and
`12:30` is a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from llem_config._errors import LINE_BREAK, ConfigError, Fault

Route = tuple[str | int, ...]
"""The way to a value: mapping keys and list positions (0-based), from the root down."""

MAX_BYTES = 8_000_000
MAX_NODES = 1_500_000  # 100,000 explicit entries; each takes half a kilobyte while parsing
MAX_DEPTH = 64
MAX_ALIASED_NODES = 10_000  # what aliases may add; a file of 1 kB could otherwise ask for gigabytes

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_TAG = "tag:yaml.org,2002:"
_TAGS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp")}
_MERGE = "<<"

_LIBYAML: Any = getattr(yaml, "CSafeLoader", None)  # 5 times faster


class _Loader(_LIBYAML or yaml.SafeLoader):  # type: ignore[misc]
    """Leaves every scalar as it is written; its own guesses cost a third of the parsing."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        del value, implicit
        if kind is yaml.ScalarNode:
            return _TAG + "str"
        return _TAG + ("map" if kind is yaml.MappingNode else "seq")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key or value stands: 1-based line and column, or 0, 0 if the source has no lines."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed source: its data, and a way to find the place of any part of it."""

    file: Path | str
    data: Mapping[str, Any]
    node: Any = field(default=None, repr=False)  # root of the node graph; None for plain mappings

    def fault(self, route: Route, problem: str, *, at_key: bool = False) -> Fault:
        """Return a fault at the value at `route`, or at its key if `at_key`."""
        place = _find(self.node, route, at_key) if self.node is not None else Place(0, 0)
        return Fault(self.file, place.line, place.column, spell(route), problem)


def spell(route: Route) -> str:
    """Return a route as people write it: `sweep.pytorch.batch_size[2]`."""
    text = ""
    for part in route:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_document(path: Path) -> Document:
    """Read and parse a YAML file whose root is a mapping.

    Raises:
        ConfigError: the file is missing, unreadable, not UTF-8, or not what `parse` accepts.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            problem = f"expected at most {MAX_BYTES // 10**6} MB; sweeps need no long lists"
            raise ConfigError([Fault(path, 0, 0, "", problem)])
        text = raw.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError([Fault(path, 0, 0, "", "no such file")]) from error
    except UnicodeDecodeError as error:
        problem = f"expected UTF-8 text, found the byte {error.object[error.start]:#04x}"
        place = _end(error.object[: error.start].decode("utf-8-sig", "replace"))
        raise ConfigError([Fault(path, place.line, place.column, "", problem)]) from error
    except OSError as error:
        raise ConfigError([Fault(path, 0, 0, "", f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:  # a null byte
        raise ConfigError([Fault(path, 0, 0, "", f"cannot be read: {error}")]) from error
    return parse(text, path)


def parse(text: str, file: Path | str) -> Document:
    """Parse one YAML document whose root is a mapping with text keys.

    Raises:
        ConfigError: broken YAML, a duplicate key, a key that is not text, an unknown tag, too
            deep nesting, aliases that expand too far, or a root that is no mapping.
    """
    node = _compose(text, file)
    if node is None:
        raise ConfigError([Fault(file, 1, 1, "", "expected a mapping of keys, found nothing")])
    if not isinstance(node, yaml.MappingNode):
        place = _start(node)
        problem = "expected a mapping of keys at the top level, found something else"
        raise ConfigError([Fault(file, place.line, place.column, "", problem)])
    builder = _Builder(file)
    data = builder.build(node, (), 0)
    if builder.faults:
        raise ConfigError(builder.faults)
    return Document(file, data, node)


def parse_value(text: str) -> Any:
    """Return the value of a `key=value` flag, read as a study file would read it.

    Raises:
        ConfigError: the text is no valid YAML value.
    """
    return parse(f"value: {text}", "<command line>").data["value"]


def _compose(text: str, file: Path | str) -> Any:
    try:
        _check_size(text, file)
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        reason = " ".join(part for part in (error.context, error.problem) if part)
        problem = f"this is not valid YAML: {reason}"
        raise ConfigError([Fault(file, line, column, "", problem)]) from error
    except UnicodeEncodeError as error:  # bytes of a command line that are not UTF-8
        problem = "this is not valid YAML: found bytes that are not UTF-8"
        raise ConfigError([Fault(file, 0, 0, "", problem)]) from error
    except yaml.reader.ReaderError as error:
        # libyaml counts bytes.
        before = text.encode()[: error.position].decode(errors="ignore")
        place = _end(before if _LIBYAML else text[: error.position])
        problem = f"this is not valid YAML: found the control character U+{error.character:04X}"
        raise ConfigError([Fault(file, place.line, place.column, "", problem)]) from error


def _check_size(text: str, file: Path | str) -> None:
    # Composing recurses in C: a file of `[[[[...` would end the process without a word.
    depth = 0
    for n_events, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            problem = f"expected at most {MAX_DEPTH} nested levels"
        elif n_events > MAX_NODES:
            problem = f"expected at most {MAX_NODES} values; sweeps need no long lists"
        else:
            continue
        place = _start(event)
        raise ConfigError([Fault(file, place.line, place.column, "", problem)])


class _Builder:
    """Turns the node graph into plain data and collects every fault on the way."""

    def __init__(self, file: Path | str) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self._seen: set[int] = set()
        self._n_aliased = 0

    def build(self, node: Any, route: Route, depth: int) -> Any:
        if depth > MAX_DEPTH:
            # Only an alias inside its own anchor gets here; its whole route would fill a screen.
            return self._fault(node, route[:1], "this alias contains itself")
        if id(node) in self._seen:
            self._n_aliased += 1
            if self._n_aliased > MAX_ALIASED_NODES:
                if self._n_aliased == MAX_ALIASED_NODES + 1:
                    problem = f"aliases expand to more than {MAX_ALIASED_NODES} values"
                    self._fault(node, route, problem)
                return None
        self._seen.add(id(node))
        if node.tag not in _TAGS:
            return self._fault(node, route, f"expected plain YAML, found the tag {node.tag}")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, route, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*route, i), depth + 1) for i, item in enumerate(node.value)]
        return resolve(node.value) if not node.style else node.value

    def _mapping(self, node: Any, route: Route, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, route)
            if key is None:
                continue
            if key == _MERGE and not key_node.style:
                sources = _merge_sources(value_node)
                if not sources:
                    self._fault(value_node, (*route, key), "expected a mapping to merge in")
                for source in sources:
                    # Earlier sources win over later ones, and own keys over all of them.
                    merged = {**self.build(source, route, depth + 1), **merged}
                continue
            if key in data:
                self._fault(key_node, (*route, key), "this key is already set above; remove one")
                continue
            data[key] = self.build(value_node, (*route, key), depth + 1)
        return {**merged, **data} if merged else data

    def _key(self, node: Any, route: Route) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._fault(node, route, "expected a key, found a list or mapping")
            return None
        # `max_memory: {0: 20GiB}` is keyed by GPU number, so a whole number is text here.
        if not node.style and type(resolve(node.value)) not in (str, int):
            problem = f"expected a text key, found {node.value or 'nothing'!r}; quote it"
            self._fault(node, route, problem)
            return None
        return str(node.value)

    def _fault(self, node: Any, route: Route, problem: str) -> None:
        place = _start(node)
        self.faults.append(Fault(self.file, place.line, place.column, spell(route), problem))


def _merge_sources(node: Any) -> list[Any]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return [source for source in nodes if isinstance(source, yaml.MappingNode)]


def resolve(text: str) -> str | int | float | bool | None:
    """Return the value of an unquoted scalar by the core schema of YAML 1.2."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        if len(text) > 30:
            return text  # beyond any count we know; also keeps int() from its digit limit
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL.get(text.lower())
    return float(special) if special else text


def _end(text: str) -> Place:
    """Return the place after a text."""
    lines = LINE_BREAK.split(text)
    return Place(len(lines), len(lines[-1]) + 1)


def _start(node: Any) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _find(node: Any, route: Route, at_key: bool) -> Place:
    """Return the place of the deepest part of `route` that the source really has."""
    best_depth, best = 0, _start(node)
    for depth, place in _reach(node, route, 0, at_key):
        if depth > best_depth:
            best_depth, best = depth, place
    return best


def _reach(node: Any, route: Route, done: int, at_key: bool) -> Iterator[tuple[int, Place]]:
    rest = route[done:]
    if not rest:
        return
    if isinstance(node, yaml.SequenceNode) and isinstance(rest[0], int):
        if rest[0] < len(node.value):
            child = node.value[rest[0]]
            yield done + 1, _start(child)
            yield from _reach(child, route, done + 1, at_key)
    elif isinstance(node, yaml.MappingNode):
        # A key that is the part itself comes before one that only begins with it: `a`, then `a.b`.
        for key_node, child in sorted(node.value, key=lambda pair: bool(pair[0].value != rest[0])):
            length = _matches(str(key_node.value), rest)
            if length:
                yield done + length, _start(key_node if at_key else child)
                yield from _reach(child, route, done + length, at_key)
            elif key_node.value == _MERGE:
                for source in _merge_sources(child):
                    yield from _reach(source, route, done, at_key)


def _matches(key: str, rest: Route) -> int:
    """Return how many parts of the route a written key covers: `a.b` covers two, or none.

    A route may end inside a written key: `a` is set by `a.b`.
    """
    if rest[0] == key:
        return 1
    parts = tuple(key.split("."))
    length = min(len(parts), len(rest))
    return length if parts[:length] == rest[:length] else 0
