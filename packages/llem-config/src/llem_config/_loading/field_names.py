"""What to suggest for an unknown key or value: other tools' names first, then the spelling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from pydantic import BaseModel

from llem_config._loading.suggest import did_you_mean, in_words, listed, nearest, plain
from llem_config._loading.yaml_places import Route
from llem_config._spec.dataset import InputTokensConfig
from llem_config._spec.experiment import SECTIONS, ExperimentConfig
from llem_config._spec.other_names import KEY_ADVICE, OTHER_KEYS, OTHER_VALUES
from llem_config._spec.study import EXECUTION_ALIASES, ExecutionConfig
from llem_config._spec.study_keys import STUDY_KEY_DESCRIPTIONS
from llem_config.credentials import is_credential_name

STUDY_KEYS = tuple(STUDY_KEY_DESCRIPTIONS)

_GENERIC = frozenset(("enabled", "min", "max", "mean", "sd", "source", "sources", "name", "base"))
"""Names that mean something else in each section."""

_OTHER_KEYS = {plain(name): keys for name, keys in OTHER_KEYS.items()}
_ADVICE = {plain(name): advice for name, advice in KEY_ADVICE.items()}


def key_hint(route: Route, siblings: Iterable[str]) -> str:
    """Return what to write instead of an unknown key; empty if nothing is similar.

    Args:
        route: of the unknown key, from the top level of a study file.
        siblings: the valid keys at the same place.
    """
    section, word = tuple(map(str, route[:-1])), str(route[-1])
    siblings = list(siblings)
    if plain(word) in map(plain, siblings):
        return did_you_mean(word, siblings)
    # A group of a sweep that has the name of a section is read as that section.
    name, _, rest = word.partition(".")
    if rest in siblings and name in section:
        return f"; in the section {name!r} write {rest!r}; a group of a sweep needs another name"
    dotted = plain(".".join((*section, word)))
    keys = _OTHER_KEYS.get(dotted) or _keys_with(plain(word), in_section=bool(section))
    if keys := keys or _OTHER_KEYS.get(plain(word), ()):
        prefix = ".".join((*section, ""))
        here = [key for key in keys if section and key.startswith(prefix)]
        return _suggestion(section, here or keys)
    if plain(word) in _ADVICE:
        return f"; {_ADVICE[plain(word)]}"
    if is_credential_name(word):
        return f"; {_ADVICE['token']}"
    if hint := did_you_mean(word, siblings):
        return hint
    near = nearest(word, (key.rpartition(".")[2] for key in _all_keys()))
    keys = _keys_with(plain(near), in_section=bool(section)) if near else ()
    return _suggestion(section, keys) or listed(siblings)


def other_keys(word: str) -> tuple[str, ...]:
    """Return our dotted keys for a name in another tool; empty if none is known by it."""
    return _OTHER_KEYS.get(plain(word), ())


def value_hint(field: str | int, value: object, valid_values: Iterable[str]) -> str:
    """Return the valid value that a wrong one means; empty if none is similar.

    Args:
        field: the last part of the field's key.
        value: as found.
        valid_values: the names that the field accepts.
    """
    valid_values = list(valid_values)
    if isinstance(value, str | int) and not isinstance(value, bool):
        meant = OTHER_VALUES.get(str(field), {}).get(str(value).strip().lower())
        if meant in valid_values:
            return in_words([meant])
    return did_you_mean(value, valid_values)


@cache
def _all_keys() -> tuple[str, ...]:
    """Return every dotted key of a study file."""
    sections: dict[str, type[BaseModel]] = {
        **SECTIONS,
        "execution": ExecutionConfig,
        "dataset.input_tokens": InputTokensConfig,
    }
    return (
        *(name for name in ExperimentConfig.model_fields if name != "paths"),
        *STUDY_KEYS,
        *(f"execution.{name}" for name in EXECUTION_ALIASES),
        *(f"{name}.{field}" for name, model in sections.items() for field in model.model_fields),
    )


@cache
def _keys_with(last: str, *, in_section: bool) -> tuple[str, ...]:
    """Return the dotted keys whose last part has these letters."""
    if in_section and last in _GENERIC:
        return ()
    return tuple(key for key in _all_keys() if plain(key.rpartition(".")[2]) == last)


def _suggestion(section: tuple[str, ...], keys: Sequence[str]) -> str:
    """Return the hint for dotted keys, each as it is written in a section."""
    prefix = ".".join((*section, ""))
    is_above = bool(section) and all("." not in key for key in keys)
    names = [key.removeprefix(prefix) if section else key for key in keys]
    return in_words(names, " at the top level" if is_above else "")
