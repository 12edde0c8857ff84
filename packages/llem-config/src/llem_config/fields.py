"""The fields of a study file in words: what each means, accepts and does to energy.

    from llem_config.fields import find_fields, related_fields, study_fields
    for field in study_fields(): print(field.key, field.meaning)

Everything comes from the pydantic models, so these words cannot differ from what is checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llem_config._errors import LlemError
from llem_config._loading.field_names import key_hint, other_keys
from llem_config._loading.field_search import describing_keys, named_keys, near_words
from llem_config._loading.suggest import plain
from llem_config._schema import MAY_BE_SWEPT, study_json_schema
from llem_config._spec.study_keys import STUDY_KEY_DESCRIPTIONS
from llem_config.settings import setting_names
from llem_config.text import shortened

__all__ = [
    "StudyField",
    "UnknownFieldError",
    "fields_called",
    "find_fields",
    "related_fields",
    "study_fields",
]

_ENERGY = "Energy: "
_EXECUTION = "execution"


class UnknownFieldError(LlemError):
    """No field has this name, and none is known by it in other tools."""


@dataclass(frozen=True, slots=True)
class StudyField:
    """One field of a study file."""

    key: str
    """Dotted, such as `pytorch.batch_size`."""
    values: str
    """What it accepts, in words."""
    default: str | None
    """As it is written in YAML; None: the meaning says what happens without the field."""
    is_required: bool
    """Whether a study file, or the section of the field, must have it."""
    may_be_swept: bool
    """Whether it may be an axis of `sweep`; true for every field of an experiment."""
    is_section: bool
    """Whether it contains other fields."""
    meaning: str
    """Plain sentences, with the unit of a number."""
    energy: str | None
    """What the field does to energy; None for a section."""


def study_fields() -> tuple[StudyField, ...]:
    """Return every field of a study file: those of the study, of its points, and of the execution."""
    schema = study_json_schema()
    definitions = schema["$defs"]
    entry = definitions["Entry"]["properties"]
    execution = definitions["ExecutionConfig"]["properties"]
    required = {"model"}
    for key, value in entry.items():
        for name in _references(value):
            required |= {f"{key}.{field}" for field in definitions[name].get("required", ())}
    described = {key: schema["properties"][key] for key in STUDY_KEY_DESCRIPTIONS}
    described |= entry | {f"{_EXECUTION}.{key}": value for key, value in execution.items()}
    return tuple(_field(key, value, key in required) for key, value in described.items())


def find_fields(word: str) -> tuple[StudyField, ...]:
    """Return the fields that a word means, in the order of the study file.

    A word is a key, a part of keys, or the name in another tool. One that is in no name is searched
    in the descriptions.

    Raises:
        UnknownFieldError: there is none; the message names what was probably meant.
    """
    fields = study_fields()
    texts = {field.key: _text(field) for field in fields}
    keys = named_keys(word, [*texts]) or describing_keys(word, texts)
    if not keys:
        hint = near_words(word, texts) or key_hint((word,), texts) or _setting_hint(word)
        hint = hint or "; `llem-cli study fields` lists all"
        raise UnknownFieldError(
            f"expected a field of a study file, found {shortened(word, 60)!r}{hint}"
        )
    return tuple(field for field in fields if field.key in keys)


def fields_called(name: str) -> tuple[StudyField, ...]:
    """Return the fields with exactly this name, here or in another tool; empty if there is none."""
    letters, others = plain(name), other_keys(name)
    return tuple(
        field
        for field in study_fields()
        if not field.is_section
        and (field.key in others or letters in (plain(field.key), plain(_name(field.key))))
    )


def related_fields(word: str) -> tuple[StudyField, ...]:
    """Return the fields whose descriptions have a word and whose names do not mean it."""
    fields = study_fields()
    texts = {field.key: _text(field) for field in fields if not field.is_section}
    named = set(named_keys(word, [field.key for field in fields]))
    keys = set(describing_keys(word, texts)) - named if named else ()
    return tuple(field for field in fields if field.key in keys)


def _name(key: str) -> str:
    """Return the name of a field without its section."""
    return key.rpartition(".")[2]


def _text(field: StudyField) -> str:
    """Return everything in which a word is searched."""
    return " ".join((field.key, field.values, field.meaning, field.energy or ""))


def _setting_hint(word: str) -> str:
    """Return where to change what is no field of a study but a setting of the machine."""
    letters = plain(word)
    names = [
        f"{section}.{name}"
        for section, name in setting_names()
        if len(letters) > 2 and letters in plain(f"{section}.{name}")
    ]
    if not names:
        return ""
    verb = "is a setting" if len(names) == 1 else "are settings"
    return f"; {' and '.join(names)} {verb} of the machine: `llem-cli config`"


def _field(key: str, schema: Mapping[str, Any], is_required: bool) -> StudyField:
    text = schema.get("description", "").removesuffix(MAY_BE_SWEPT)
    meaning, _, energy = text.partition(_ENERGY)
    default = schema.get("default")
    is_section = any(True for _ in _references(schema))
    return StudyField(
        key=key,
        values=_values(schema),
        default=None if default is None or isinstance(default, dict) else _yaml(default),
        is_required=is_required,
        may_be_swept=schema.get("description", "").endswith(MAY_BE_SWEPT),
        is_section=is_section,
        meaning=" ".join(meaning.split()),
        energy=" ".join(energy.split()) or None,
    )


def _references(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the sections that a field may contain; lists of points are none."""
    for branch in schema.get("anyOf", [schema]):
        if "$ref" in branch:
            yield branch["$ref"].rpartition("/")[2]


def _values(schema: Mapping[str, Any]) -> str:
    branches = [branch for branch in schema.get("anyOf", [schema]) if branch.get("type") != "null"]
    return " or ".join(dict.fromkeys(_kind(branch) for branch in branches))


def _kind(schema: Mapping[str, Any]) -> str:
    """Return what one branch of a schema accepts."""
    if "$ref" in schema:
        return "a section"
    if "enum" in schema or "const" in schema:
        names = schema.get("enum", [schema.get("const")])
        return " or ".join(", ".join(map(_yaml, names)).rsplit(", ", 1))
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items", {})
        is_mapping = bool({"$ref", "allOf"} & set(items))
        return f"a list of {'mappings' if is_mapping else _values(items)}"
    if kind in ("integer", "number"):
        return " ".join(("a whole number" if kind == "integer" else "a number", *_limits(schema)))
    return {"boolean": "true or false", "object": "a mapping"}.get(str(kind), "text")


def _limits(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the limits of a number; a whole number above 0 begins with 1."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if above is not None and schema["type"] == "integer":
        low, above = above + 1, None
    if low is not None:
        yield f"from {low:,}"
    if above is not None:
        yield f"above {above:,}"
    if high is not None:
        yield f"to {high:,}" if low is not None else f"up to {high:,}"
    if below is not None:
        yield f"below {below:,}"


def _yaml(value: Any) -> str:
    """Return a default as it is written in a study file."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_yaml, value))}]"
    return json.dumps(value)
