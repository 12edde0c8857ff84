"""Short names for the points of a study: the fields in which they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llem_config import ExperimentConfig, canonical


def labels(configs: Sequence[ExperimentConfig]) -> list[str]:
    """Return one label per experiment, from the fields in which the experiments differ.

    If they do not differ, the label is the name of the model.
    """
    flat = [dict(_leaves(canonical(config))) for config in configs]
    keys = list(dict.fromkeys(key for point in flat for key in point))
    differing = [key for key in keys if len({repr(point.get(key)) for point in flat}) > 1]
    if not differing:
        return [config.model for config in configs]
    return [
        " ".join(f"{key}={_word(point[key])}" for key in differing if key in point) or "defaults"
        for point in flat
    ]


def _leaves(data: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    result: list[tuple[str, Any]] = []
    for key, value in data.items():
        if isinstance(value, dict):
            result += _leaves(value, f"{prefix}{key}.")
        else:
            result.append((f"{prefix}{key}", value))
    return result


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
