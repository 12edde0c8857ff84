"""The identity of an experiment and of a study, by content.

The promise: a hash changes only when a measurement could. Order of keys and axes, presets against
their expansion, explicit defaults, empty sections, `execution`, `name` and file layout leave it
alone. A new optional field leaves old hashes alone as long as it is None. Anything else that
would move existing hashes must raise `HASH_FORMAT`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from json.encoder import encode_basestring
from typing import Any

from pydantic import BaseModel

from llem_config._spec.experiment import DecoderConfig, ExperimentConfig

HASH_FORMAT = 1
N_DIGITS = 16
MAX_KNOWN = 10_000
"""Sections kept while expanding a study; bounds what keeping them costs."""

_SCALARS = (str, int, float, bool)


def canonical(config: ExperimentConfig) -> dict[str, Any]:
    """Return everything that can change a measurement: plain data, nothing unset, sorted keys."""
    return _plain_model(config)


def measurement_config_hash(config: ExperimentConfig) -> str:
    """Return the first 16 hex digits of SHA-256 over the canonical form of one experiment."""
    return _digest({"experiment": canonical(config), "hash_format": HASH_FORMAT})


class Hasher:
    """Makes `measurement_config_hash` of many experiments that share sections.

    The text of a section is made once, which halves the cost of a point.
    """

    def __init__(self) -> None:
        # With each text its section, so that no other one can get its id.
        self._texts: dict[int, tuple[BaseModel, str]] = {}

    def __call__(self, config: ExperimentConfig) -> str:
        """Return the first 16 hex digits of SHA-256 over the canonical form of one experiment."""
        values = config.__dict__
        parts = []
        for name in _fields(type(config)):
            value = values[name]
            if value is None:
                continue
            text = self._section(value) if isinstance(value, BaseModel) else _text(value)
            if text != "{}":
                parts.append(f'"{name}":{text}')
        experiment = ",".join(parts)
        return _digits(f'{{"experiment":{{{experiment}}},"hash_format":{HASH_FORMAT}}}')

    def _section(self, section: BaseModel) -> str:
        known = self._texts.get(id(section))
        if known is not None:
            return known[1]
        text = _ENCODE(_plain_model(section))
        if len(self._texts) < MAX_KNOWN:
            self._texts[id(section)] = (section, text)
        return text


def study_design_hash(experiments: Iterable[ExperimentConfig]) -> str:
    """Return the hash of a set of experiments; their order and repeats do not matter."""
    return design_hash_of(measurement_config_hash(config) for config in experiments)


def design_hash_of(hashes: Iterable[str]) -> str:
    """Return the hash of a study from the hashes of its points."""
    return _digest({"experiments": sorted(set(hashes)), "hash_format": HASH_FORMAT})


def _digest(data: dict[str, Any]) -> str:
    # Every mapping has been built in the order of its keys; sorting again would double the cost.
    return _digits(_ENCODE(data))


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:N_DIGITS]


def _text(value: Any) -> str:
    if type(value) is int:
        return repr(value)
    if type(value) is str:
        return encode_basestring(value)
    return _ENCODE(_plain_mapping(value) if isinstance(value, dict) else value)


_ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


@cache
def _fields(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(sorted(model.model_fields))


def _plain_model(model: BaseModel) -> dict[str, Any]:
    # Walks the fields itself: twice as fast as a dump, whose empty parts would still have to go.
    values = model.__dict__
    kept = {}
    for name in _fields(type(model)):
        value = values[name]
        if type(value) in _SCALARS:
            kept[name] = value
            continue
        if value is None:
            continue
        if isinstance(value, BaseModel):
            value = _plain_model(value)
        elif isinstance(value, dict):
            value = _plain_mapping(value)
        elif isinstance(value, tuple):
            value = list(value)
        if value != {}:
            kept[name] = value
    if isinstance(model, DecoderConfig) and not model.do_sample:
        # Greedy decoding never looks at these, so they make no second experiment.
        for name in ("top_k", "top_p", "min_p"):
            kept.pop(name, None)
    return kept


def _plain_mapping(data: dict[Any, Any]) -> dict[str, Any]:
    kept = {}
    # Free-form options may have keys of several types (`max_memory: {0: ..}`); text sorts.
    for key in sorted(data, key=str):
        value = data[key]
        if isinstance(value, dict):
            value = _plain_mapping(value)
        elif isinstance(value, list):
            value = [_sorted(item) for item in value]
        if value != {}:
            kept[str(key)] = value
    return kept


def _sorted(value: Any) -> Any:
    """Return an item of a list with sorted keys; empty mappings stay, they hold its place."""
    if isinstance(value, dict):
        return {str(key): _sorted(value[key]) for key in sorted(value, key=str)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
