"""Columns whose number depends on the study: factors, what a backend reports, devices, packages.

All of them are text, apart from those of devices. A library gives its options any type, and a column
must have the same type in every study.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from llem_config.text import one_line
from llem_energy import ExperimentResult
from llem_energy.records import DeviceWindow, GpuSnapshot
from llem_report._tables.columns import Column, column
from llem_report._tables.config_part import PREFIX, config_part, leaf_text
from llem_report._tables.run_records import RunRecord
from llem_report._tables.struct_columns import struct_part

MAX_COLUMNS = 2000
"""Of one kind; a foreign file may have any number of keys."""
_MAX_DEPTH = 20
_MAX_NAME = 200
_MAX_DEVICES = 256


class OpenPart(NamedTuple):
    """Neighbouring columns that are known when all rows are known."""

    values: Callable[[RunRecord], Mapping[str, Any]]
    """From a row to column name and value."""
    columns: Callable[[Collection[str]], Iterable[Column]]
    """From the names that rows have to all columns, in order."""
    patterns: tuple[Column, ...]
    """Columns with NAME or N in place of the part that depends on the study."""


def factor_part() -> OpenPart:
    """Return the level of each factor."""
    return _texts(
        "factor.",
        lambda record: record.levels,
        "Level of the factor `{}`, as the study file states it; null where it does not exist.",
        "study_resolved.json: levels",
        in_order=True,
    )


def other_config_part() -> OpenPart:
    """Return the fields of an experiment that packages define which are not installed here."""
    known = {column.name.removeprefix(PREFIX) for column in config_part().columns}
    return _texts(
        PREFIX,
        lambda record: {
            key: value
            for key, value in leaves(record.config)
            if key not in known
            and not key.startswith("paths.")
            # A mapping in one column, such as `passthrough_kwargs`.
            and not any(key.startswith(f"{name}.") for name in known)
        },
        "Field `{}`, which no package that is installed here defines.",
        "result.json: config.{}",
    )


def effective_part() -> OpenPart:
    """Return what the backend used."""
    return _texts(
        "effective.",
        lambda record: dict(leaves(record.result.effective_config)) if record.result else {},
        "What the backend used as `{}`, as it reports it.",
        "result.json: effective_config.{}",
    )


def package_part() -> OpenPart:
    """Return the versions of the packages."""
    return _texts(
        "package.",
        lambda record: record.result.environment_snapshot.packages if record.result else {},
        "Version of the package {}.",
        "result.json: environment_snapshot.packages.{}",
    )


def gpu_part() -> OpenPart:
    """Return the state of each GPU before the run."""
    return _numbered(
        GpuSnapshot,
        "gpu.",
        lambda result: result.environment_snapshot.gpus,
        "result.json: environment_snapshot.gpus",
        "GPU {} before the run:",
    )


def device_part() -> OpenPart:
    """Return what each metered device used in the window."""
    return _numbered(
        DeviceWindow,
        "device.",
        lambda result: result.devices,
        "result.json: devices",
        "Metered device {}:",
    )


def leaves(data: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Yield the dotted name of each value in nested mappings, and the value as text."""
    stack: list[tuple[str, Any, int]] = [("", data, 0)]
    while stack:
        name, value, depth = stack.pop()
        if isinstance(value, Mapping) and value and depth < _MAX_DEPTH:
            prefix = f"{name}." if name else ""
            stack.extend((prefix + str(key), below, depth + 1) for key, below in value.items())
        elif name:
            yield name, leaf_text(value)


def _texts(
    prefix: str,
    values: Callable[[RunRecord], Mapping[str, Any]],
    description: str,
    source: str,
    *,
    in_order: bool = False,
) -> OpenPart:
    def named(record: RunRecord) -> dict[str, Any]:
        return {prefix + one_line(key, _MAX_NAME): v for key, v in values(record).items()}

    def columns(names: Collection[str]) -> Iterator[Column]:
        for name in names if in_order else sorted(names):
            key = name.removeprefix(prefix)
            yield column(name, "text", description.format(key), source.format(key))

    return OpenPart(named, columns, tuple(columns([f"{prefix}NAME"])))


def _numbered(
    struct: type[msgspec.Struct],
    prefix: str,
    items: Callable[[ExperimentResult], tuple[msgspec.Struct, ...]],
    source: str,
    about: str,
) -> OpenPart:
    """Return the columns of a list of structs; those of the first are always there."""
    part = struct_part(struct, lambda item: item, source="")
    fields = [column.name for column in part.columns]

    def values(record: RunRecord) -> dict[str, Any]:
        if record.result is None:
            return {}
        return {
            f"{prefix}{number}.{name}": value
            for number, item in enumerate(items(record.result)[:_MAX_DEVICES])
            for name, value in zip(fields, part.values(item), strict=True)
        }

    def columns_of(number: object) -> tuple[Column, ...]:
        return struct_part(
            struct,
            lambda item: item,
            source=f"{source}[{number}].",
            prefix=f"{prefix}{number}.",
            about=about.format(number),
        ).columns

    def columns(names: Collection[str]) -> Iterator[Column]:
        n_items = max((int(name.split(".")[1]) + 1 for name in names), default=1)
        for number in range(n_items):
            yield from columns_of(number)

    return OpenPart(values, columns, columns_of("N"))
