"""Parses YAML text to plain data, with the place of each part.

PyYAML parses the text to a node graph; this module builds the data from the graph. It finds
duplicate keys and unknown tags, and limits the size, the depth and the aliases of a file.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from llem_config._faults import MAX_BYTES, MAX_FAULTS, ConfigError, Fault
from llem_config._loading.file_contents import other_content
from llem_config._loading.yaml_indent import missing_space, wrong_indent
from llem_config._loading.yaml_places import (
    MERGE,
    Place,
    Places,
    Route,
    end_of,
    merge_sources,
    spell,
    start_of,
)
from llem_config._loading.yaml_scalars import scalar_value
from llem_config.credentials import places_of_credentials
from llem_config.foreign_files import ForeignFileError, opened

MAX_NODES = 1_500_000  # 100,000 explicit entries; parsing takes half a kilobyte for each value
MAX_DEPTH = 64
MAX_ALIASED_NODES = 10_000  # added by aliases; a file of 1 kB could otherwise expand to gigabytes

_TAG = "tag:yaml.org,2002:"
_TAGS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp")}

_LIBYAML: Any = getattr(yaml, "CSafeLoader", None)  # parses 30 times faster than the pure Python


class _Loader(_LIBYAML or yaml.SafeLoader):  # type: ignore[misc]
    """Leaves every scalar as text, for `scalar_value`; resolving by YAML 1.1 would double the time."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        del value, implicit
        if kind is yaml.ScalarNode:
            return _TAG + "str"
        return _TAG + ("map" if kind is yaml.MappingNode else "seq")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed source: its data, and the place of every part of it."""

    file: Path | str
    data: Mapping[str, Any]
    places: Places | None = field(default=None, repr=False)
    """None for plain mappings, which have no lines."""
    text: str = field(default="", repr=False)
    """What was parsed; empty for plain mappings."""

    def fault(self, route: Route, problem: str, *, at_key: bool = False) -> Fault:
        """Return a fault at the value at `route`, or at its key if `at_key`."""
        place = Place(0, 0)
        if self.places is not None:
            place = self.places.find(route, at_key=at_key)
        return Fault(self.file, place.line, place.column, spell(route), problem)


def read_document(path: Path, *, may_be_empty: bool = False) -> Document:
    """Read and parse a YAML file whose root is a mapping.

    Args:
        path: the file.
        may_be_empty: a file without any value, such as one of comments only, sets nothing.

    Raises:
        ConfigError: the file is missing, cannot be read, is not UTF-8, or `parse` refuses it.
    """
    if may_be_empty and path == Path(os.devnull):
        return Document(path, {})  # the usual name of an empty file, although it is a device
    try:
        with opened(path) as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            problem = f"expected at most {MAX_BYTES // 10**6} MB; use sweep instead of a long list"
            raise ConfigError([Fault(path, 0, 0, "", problem)])
        if (wrong := other_content(path, raw)) is not None:
            raise ConfigError([Fault(path, 0, 0, "", wrong)])
        text = raw.decode("utf-8-sig")
    except ForeignFileError as error:
        raise ConfigError([Fault(path, 0, 0, "", _unreadable(path, error))]) from error
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        problem = f"expected UTF-8 text, found the byte {byte:#04x}; save the file as UTF-8"
        place = end_of(error.object[: error.start].decode("utf-8-sig", "replace"))
        raise ConfigError([Fault(path, place.line, place.column, "", problem)]) from error
    except OSError as error:
        raise ConfigError([Fault(path, 0, 0, "", f"cannot be read: {error.strerror}")]) from error
    return parse(text, path, may_be_empty=may_be_empty)


def _unreadable(path: Path, error: ForeignFileError) -> str:
    match error.__cause__:
        case FileNotFoundError():
            return f"no such file{_similar_name(path)}"
        case ValueError() as reason:  # a null byte in the path
            return f"cannot be read: {reason}"
    problem, _, _ = str(error).removeprefix(f"{path}: ").partition(";")
    return f"{problem}; correct the path"


def _similar_name(path: Path) -> str:
    """Return the YAML file of a similar name beside a missing one, as a question."""
    with contextlib.suppress(OSError, ValueError):  # no such folder, or no possible name
        names = [each.name for each in path.parent.iterdir() if each.suffix in (".yaml", ".yml")]
        if near := difflib.get_close_matches(path.name, sorted(names), 1):
            return f"; did you mean {path.with_name(near[0])}?"
    return ""


def parse(text: str, file: Path | str, *, may_be_empty: bool = False) -> Document:
    """Parse one YAML document whose root is a mapping with text keys.

    Args:
        text: the document.
        file: where it comes from; the faults name it.
        may_be_empty: whether a document without any value is a mapping without keys.

    Raises:
        ConfigError: invalid YAML, a duplicate key, a key that is not text, an unknown tag,
            nesting beyond the limit, aliases beyond the limit, or a root that is not a mapping.
    """
    node = _compose(text, file)
    if may_be_empty and (node is None or _is_null(node)):
        return Document(file, {}, text=text)
    if node is None:
        raise ConfigError(
            [Fault(file, 1, 1, "", "expected a mapping of keys, found an empty file")]
        )
    if not isinstance(node, yaml.MappingNode):
        place = start_of(node)
        kind = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
        problem = f"expected a mapping of keys at the top level, found {kind}"
        raise ConfigError([Fault(file, place.line, place.column, "", problem)])
    builder = _Builder(file)
    data = builder.build(node, (), 0)
    faults = [*builder.faults, *_credentials(text, file)]
    if faults:
        raise ConfigError(faults)
    return Document(file, data, Places(node), text)


def _credentials(text: str, file: Path | str) -> Iterator[Fault]:
    """Yield a fault for each password in a file, also in its comments: the file is copied."""
    for position, kind in itertools.islice(places_of_credentials(text), MAX_FAULTS):
        place = end_of(text[:position])
        problem = (
            f"found {kind}; a study file is copied to the results and may be shared, so remove it "
            "and set a variable of the environment, such as HF_TOKEN"
        )
        yield Fault(file, place.line, place.column, "", problem)


def _is_null(node: Any) -> bool:
    is_plain = isinstance(node, yaml.ScalarNode) and not node.style
    return is_plain and scalar_value(node.value) is None


def parse_value(text: str) -> Any:
    """Return the value of a `key=value` flag, read as in a study file.

    Raises:
        ConfigError: the text is not a valid YAML value.
    """
    data = parse(f"value: {text}", "<command line>").data
    if len(data) > 1:  # the second line of a value would be lost
        problem = "expected one value, found another key after it"
        raise ConfigError([Fault("<command line>", 0, 0, "", problem)])
    return data["value"]


def _compose(text: str, file: Path | str) -> Any:
    """Return the root of the node graph, or None for an empty document."""
    try:
        _check_size(text, file)
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        problem = f"this is not valid YAML: {_reason(error)}"
        in_flow = "flow" in f"{error.context}"
        indent = None if in_flow else wrong_indent(text, line) or missing_space(text, line)
        if indent is not None:
            line, column, problem = indent.line, indent.column, indent.problem
        raise ConfigError([Fault(file, line, column, "", problem)]) from error
    except UnicodeEncodeError as error:  # bytes of a command line that are not UTF-8
        problem = "this is not valid YAML: found bytes that are not UTF-8"
        raise ConfigError([Fault(file, 0, 0, "", problem)]) from error
    except yaml.reader.ReaderError as error:
        # The position counts bytes in libyaml and characters in the pure Python parser.
        before = text.encode()[: error.position].decode(errors="ignore")
        place = end_of(before if _LIBYAML else text[: error.position])
        problem = f"this is not valid YAML: found the control character U+{error.character:04X}"
        raise ConfigError([Fault(file, place.line, place.column, "", problem)]) from error


def _reason(error: yaml.MarkedYAMLError) -> str:
    """Return what is wrong with a text, then what the parser was reading."""
    problem, context = error.problem or "", error.context or ""
    if problem.startswith("but "):  # `expected a single document`, `but found another document`
        return f"{context} {problem}"
    return f"{problem} ({context})" if problem and context else problem or context


def _check_size(text: str, file: Path | str) -> None:
    """Check depth and number of values before composing.

    Composing is recursive in C: a file of `[[[[...` would crash the process without a message.

    Raises:
        ConfigError: a limit is exceeded.
    """
    depth = 0
    for n_events, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            problem = f"expected at most {MAX_DEPTH} nested levels"
        elif n_events > MAX_NODES:
            problem = f"expected at most {MAX_NODES} values; use sweep instead of a long list"
        else:
            continue
        place = start_of(event)
        raise ConfigError([Fault(file, place.line, place.column, "", problem)])


class _Builder:
    """Builds plain data from the node graph and collects every fault."""

    def __init__(self, file: Path | str) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self._seen: set[int] = set()
        self._n_aliased = 0

    def build(self, node: Any, route: Route, depth: int) -> Any:
        """Return the data of a node; None where there is a fault."""
        if depth > MAX_DEPTH:
            # Only an alias inside its own anchor is this deep; its full route would fill a screen.
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
        if not node.style and node.end_mark.line > node.start_mark.line and " - " in node.value:
            problem = f"expected one value, found {node.value!r}; give each `-` the same indent"
            return self._fault(node, route, problem)
        return scalar_value(node.value) if not node.style else node.value  # else: quoted

    def _mapping(self, node: Any, route: Route, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        for key_node, value_node in node.value:
            key = self._key(key_node, route)
            if key is None:
                continue
            if key == MERGE and not key_node.style:
                sources = merge_sources(value_node)
                if not sources:
                    self._fault(value_node, (*route, key), "expected a mapping to merge in")
                merged += [self.build(source, route, depth + 1) or {} for source in sources]
                continue
            if key in data:
                self._fault(key_node, (*route, key), "this key is already set above; remove one")
                continue
            data[key] = self.build(value_node, (*route, key), depth + 1)
        # Earlier sources override later ones; the mapping's keys override them all.
        result: dict[str, Any] = {}
        for source in (*reversed(merged), data):
            result.update(source)
        return result

    def _key(self, node: Any, route: Route) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._fault(node, route, "expected a key, found a list or mapping")
            return None
        # Whole numbers become text, because `max_memory: {0: 20GiB}` has GPU numbers as keys.
        if not node.style and type(scalar_value(node.value)) not in (str, int):
            problem = f"expected a text key, found {node.value or 'nothing'!r}; quote it"
            self._fault(node, route, problem)
            return None
        return str(node.value)

    def _fault(self, node: Any, route: Route, problem: str) -> None:
        place = start_of(node)
        self.faults.append(Fault(self.file, place.line, place.column, spell(route), problem))
