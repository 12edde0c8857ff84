"""The identity of an experiment and of a study, by content.

A hash changes only if a measurement could change. Order of keys and axes, a preset instead of its
values, explicit defaults, empty sections, `execution`, `name` and the layout of files do not
change it. A new optional field does not change old hashes while it is None. Any other change that
would alter existing hashes must raise `HASH_FORMAT`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from llem_config._spec.decoder import SAMPLING_ONLY
from llem_config._spec.experiment import ExperimentConfig

HASH_FORMAT = 1
N_DIGITS = 16


def canonical(config: ExperimentConfig) -> dict[str, Any]:
    """Return everything that can change a measurement: plain data, nothing unset, sorted keys."""
    data = config.model_dump(mode="json", exclude_none=True, exclude={"paths"})
    if not config.decoder.do_sample:
        # Greedy decoding ignores these fields, so they do not make another experiment.
        for name in SAMPLING_ONLY:
            data["decoder"].pop(name, None)
    if config.dataset.chat_template == "none":
        # The default for text. Messages cannot be read so.
        data["dataset"].pop("chat_template")
    return _without_empty(data)


def measurement_config_hash(config: ExperimentConfig) -> str:
    """Return the first 16 hex digits of SHA-256 over the canonical form of one experiment."""
    return _digest({"experiment": canonical(config), "hash_format": HASH_FORMAT})


def study_design_hash(experiments: Iterable[ExperimentConfig]) -> str:
    """Return the hash of a set of experiments; their order and repeats do not matter."""
    return design_hash_of(measurement_config_hash(config) for config in experiments)


def design_hash_of(hashes: Iterable[str]) -> str:
    """Return the hash of a study from the hashes of its points."""
    return _digest({"experiments": sorted(set(hashes)), "hash_format": HASH_FORMAT})


def _digest(data: dict[str, Any]) -> str:
    return hashlib.sha256(_ENCODE(data).encode()).hexdigest()[:N_DIGITS]


_ENCODE = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def _without_empty(data: dict[str, Any]) -> dict[str, Any]:
    """Return a mapping with sorted keys and without empty mappings, except those in lists."""
    kept = {}
    for key in sorted(data):
        value = data[key]
        if isinstance(value, dict):
            value = _without_empty(value)
        if value != {}:
            kept[key] = value
    return kept
