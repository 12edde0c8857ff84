"""Sections of backends that other packages bring: found by name, checked like our own.

A package names the pydantic model of its section in the entry-point group `llem.sections`, under
the name of its backend. The module of the model is imported with this package, by everybody who
reads a study file: it may import pydantic, and nothing heavy.
"""

from __future__ import annotations

import keyword
import re
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from pydantic import BaseModel, create_model

GROUP = "llem.sections"
SOURCES_GROUP = "llem.energy_sources"
_POINTS = entry_points()  # one search for both groups: it reads a file of every installed package
_OUR_SOURCES = ("nvml", "rapl", "none")
_SOURCE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

_Model = TypeVar("_Model", bound=BaseModel)


def _found() -> tuple[dict[str, type[BaseModel]], dict[str, str]]:
    """Return the sections by name, and why others cannot be used: one must not break the rest."""
    sections: dict[str, type[BaseModel]] = {}
    broken: dict[str, str] = {}
    for point in sorted(_POINTS.select(group=GROUP), key=lambda point: point.name):
        try:
            sections[point.name] = _load(point)
        except Exception as error:  # noqa: BLE001  # whatever another package's import may raise
            broken[point.name] = f"{type(error).__name__}: {error}"
    return sections, broken


def _load(point: EntryPoint) -> type[BaseModel]:
    if not point.name.isidentifier() or keyword.iskeyword(point.name):
        raise ValueError(f"expected a plain name for a backend, found {point.name!r}")
    section = point.load()
    if not (isinstance(section, type) and issubclass(section, BaseModel)):
        raise TypeError(f"expected a pydantic model, found {section!r}")
    # Else a misspelt key is dropped in silence, and a section cannot be shared by many points.
    if section.model_config.get("extra") != "forbid" or not section.model_config.get("frozen"):
        raise TypeError('its model needs ConfigDict(extra="forbid", frozen=True)')
    return section


OTHER_SECTIONS, BROKEN_SECTIONS = _found()

_names = {point.name for point in _POINTS.select(group=SOURCES_GROUP)}
SOURCES: tuple[str, ...] = (
    *_OUR_SOURCES,
    *sorted(name for name in _names.difference(_OUR_SOURCES) if _SOURCE_NAME.fullmatch(name)),
)
"""What `energy.sources` may name: ours, and the sources of other packages, which are not imported
here. Whether one can be read on this machine is found before the first run."""


def with_other_sections(model: type[_Model]) -> type[_Model]:
    """Return a model with a field for the section of each backend of another package.

    Raises:
        TypeError: a backend has the name of a field, which would take its place.
    """
    if taken := sorted(OTHER_SECTIONS.keys() & model.model_fields.keys()):
        raise TypeError(f"a backend of another package is named like a field: {', '.join(taken)}")
    if not OTHER_SECTIONS:
        return model
    fields = {name: (section | None, None) for name, section in OTHER_SECTIONS.items()}
    return create_model(  # type: ignore[call-overload, no-any-return]  # fields known at run time
        model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **fields
    )
