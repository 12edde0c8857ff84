"""Backends and energy sources of other packages, declared as entry points.

A package declares the pydantic model of the section of its backend in the group `llem.sections`,
under the name of the backend. The section is validated like those of this package. The module of
the model is imported whenever a study file is read, so it may import pydantic, but no large
library. A package declares an energy source in the group `llem.energy_sources`.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, create_model

from llem_config.extensions import Extension, extensions

GROUP = "llem.sections"
SOURCES_GROUP = "llem.energy_sources"
_OUR_SOURCES = ("nvml", "amd", "rapl", "none")
OUR_KEYS = frozenset(
    (
        # of an experiment
        *("model", "weights", "backend", "precision", "dataset", "n", "max_input_tokens"),
        *("max_output_tokens", "random_seed", "decoder", "warmup", "baseline", "energy", "lora"),
        *(
            "pytorch",
            "vllm",
            "tensorrt",
            "passthrough_kwargs",
            "paths",
            "decoding",
            "phase_conflicts",
        ),
        # of a study
        *("name", "base", "sweep", "experiments", "exclude", "execution", "max_experiments"),
    )
)
"""Names that a backend of another package cannot have."""
_SOURCE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

_Model = TypeVar("_Model", bound=BaseModel)


def _load_sections() -> tuple[dict[str, type[BaseModel]], dict[str, str]]:
    """Return the sections by backend, and the reason for each that cannot be used.

    A section that cannot be used must not prevent studies with other backends.
    """
    sections: dict[str, type[BaseModel]] = {}
    broken: dict[str, str] = {}
    declared: dict[str, list[Extension]] = {}
    for extension in extensions(GROUP):
        declared.setdefault(extension.name, []).append(extension)
    for name, found in sorted(declared.items()):
        try:
            sections[name] = _load(name, found)
        except Exception as error:  # noqa: BLE001  # an import may raise anything
            broken[name] = f"{type(error).__name__}: {error}"
    return sections, broken


def _load(name: str, declared: Sequence[Extension]) -> type[BaseModel]:
    """Return the section of a backend.

    Args:
        name: of the backend.
        declared: what packages declare under this name.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise ValueError(f"expected a Python name for a backend, found {name!r}")
    if name in OUR_KEYS or hasattr(BaseModel, name) or name.startswith("model_"):
        raise ValueError(f"the name {name} is taken by llem; the package must choose another")
    values = sorted({extension.value for extension in declared})
    if len(values) > 1:
        raise ValueError(f"{' and '.join(values)} declare the same backend; uninstall one package")
    section = declared[0].load()
    if not (isinstance(section, type) and issubclass(section, BaseModel)):
        raise TypeError(f"expected a pydantic model, found {section!r}")
    # Without `forbid` a misspelt key is ignored; without `frozen` a validated point can change.
    if section.model_config.get("extra") != "forbid" or not section.model_config.get("frozen"):
        raise TypeError('its model needs ConfigDict(extra="forbid", frozen=True)')
    for table in ("PRECISIONS", "DECODINGS"):
        supported = getattr(section, table, ())
        if not isinstance(supported, tuple) or not all(isinstance(i, str) for i in supported):
            raise TypeError(f"expected a tuple of names in {table}, found {supported!r}")
    section.model_json_schema()  # raises if a field cannot be described; every study needs it
    return section


OTHER_SECTIONS, BROKEN_SECTIONS = _load_sections()

_names = {extension.name for extension in extensions(SOURCES_GROUP)}
SOURCES: tuple[str, ...] = (
    *_OUR_SOURCES,
    *sorted(name for name in _names.difference(_OUR_SOURCES) if _SOURCE_NAME.fullmatch(name)),
)
"""The names that `energy.sources` accepts, with the sources of other packages. No source is
imported here; before the first run, pre-flight checks which can be read on this machine."""


def with_other_sections(model: type[_Model]) -> type[_Model]:
    """Return a model with one more field for the section of each backend of another package."""
    if not OTHER_SECTIONS:
        return model
    fields = {name: (section | None, None) for name, section in OTHER_SECTIONS.items()}
    return create_model(  # type: ignore[call-overload, no-any-return]  # fields known at run time
        model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **fields
    )
