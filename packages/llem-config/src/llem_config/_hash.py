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
from typing import Any

from llem_config._experiment import ExperimentConfig

HASH_FORMAT = 1
N_DIGITS = 16


def canonical(config: ExperimentConfig) -> dict[str, Any]:
    """Return everything that can change a measurement: plain data, nothing unset, sorted keys."""
    data = config.model_dump(mode="json", exclude_none=True)
    if not config.decoder.do_sample:
        # Greedy decoding never looks at these, so they make no second experiment.
        for name in ("top_k", "top_p", "min_p"):
            data["decoder"].pop(name, None)
    return _without_empty(data)


def measurement_config_hash(config: ExperimentConfig) -> str:
    """Return the first 16 hex digits of SHA-256 over the canonical form of one experiment."""
    return _digest({"hash_format": HASH_FORMAT, "experiment": canonical(config)})


def study_design_hash(experiments: Iterable[ExperimentConfig]) -> str:
    """Return the hash of a set of experiments; their order and repeats do not matter."""
    return design_hash_of(measurement_config_hash(config) for config in experiments)


def design_hash_of(hashes: Iterable[str]) -> str:
    """Return the hash of a study from the hashes of its points."""
    return _digest({"hash_format": HASH_FORMAT, "experiments": sorted(set(hashes))})


def _digest(data: dict[str, Any]) -> str:
    text = json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:N_DIGITS]


def _without_empty(data: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for key, value in data.items():
        # Free-form options may have keys of several types (`max_memory: {0: ..}`); text sorts.
        cleaned = _without_empty(value) if isinstance(value, dict) else value
        if cleaned != {}:
            kept[str(key)] = cleaned
    return kept
