"""Columns from the fields of a struct: types from the annotations, meaning from the docstrings."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from llem_report._tables.columns import Column, ColumnType, column
from llem_report._tables.docstrings import field_docstrings

_TYPES: dict[Any, ColumnType] = {int: "integer", float: "number", bool: "boolean", str: "text"}


class Part(NamedTuple):
    """Some neighbouring columns, and how their values are found."""

    columns: tuple[Column, ...]
    values: Callable[[Any], tuple[Any, ...]]
    """From the record of a row to one value per column; None where there is no value."""


def struct_part(
    struct: type[msgspec.Struct],
    parent: Callable[[Any], msgspec.Struct | None],
    *,
    source: str,
    prefix: str = "",
    about: str = "",
    names: Collection[str] | None = None,
    without: Collection[str] = (),
) -> Part:
    """Return the columns of all fields of a struct that fit into one cell.

    Args:
        struct: whose fields become columns: numbers, texts, true or false, and lists of texts.
        parent: finds the struct in the record of a row; None: all its columns are null.
        source: where the struct is, such as `result.json: warmup.`.
        prefix: of the columns' names.
        about: begins each description.
        names: the only fields to take, in this order; None: all, in their order.
        without: fields to leave out.
    """
    kinds = {name: column_type(name, hint) for name, hint in get_type_hints(struct).items()}
    texts = field_docstrings(struct)
    chosen = [
        name
        for name in (struct.__struct_fields__ if names is None else names)
        if kinds[name] is not None and name not in without
    ]
    columns = tuple(
        column(prefix + name, kind, " ".join(filter(None, (about, texts.get(name)))), source + name)
        for name in chosen
        if (kind := kinds[name]) is not None
    )
    return Part(columns, _getter(parent, chosen))


def column_type(name: str, hint: Any) -> ColumnType | None:
    """Return the type of the column for a field; None if the field does not fit into a cell."""
    kinds = {arg for arg in _alternatives(hint) if arg is not types.NoneType}
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    if kind is str and name.endswith("_at"):
        return "time"
    if get_origin(kind) is tuple and get_args(kind) == (str, ...):
        return "texts"
    return _TYPES.get(kind)


def _alternatives(hint: Any) -> list[Any]:
    """Return the types of a union, and the types of the values of a Literal."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return [kind for arg in get_args(hint) for kind in _alternatives(arg)]
    if origin is Literal:
        return [type(value) for value in get_args(hint)]
    return [hint]


def _getter(
    parent: Callable[[Any], msgspec.Struct | None], names: Collection[str]
) -> Callable[[Any], tuple[Any, ...]]:
    get = attrgetter(*names)
    is_single = len(names) == 1
    nothing = (None,) * len(names)

    def values(record: Any) -> tuple[Any, ...]:
        struct = parent(record)
        if struct is None:
            return nothing
        return (get(struct),) if is_single else get(struct)

    return values
