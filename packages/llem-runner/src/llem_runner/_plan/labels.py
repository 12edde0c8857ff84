"""Short names for the points of a study: the fields in which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llem_config import ExperimentConfig, StudyConfig, canonical


def labels(configs: Sequence[ExperimentConfig]) -> list[str]:
    """Return one label per experiment, from the fields in which the experiments differ.

    If they do not differ, the label is the name of the model.
    """
    points = differing_fields(configs)
    if not any(points):
        return [config.model for config in configs]
    return [
        " ".join(f"{key}={word}" for key, word in point.items()) or "defaults" for point in points
    ]


def levels(study: StudyConfig) -> list[dict[str, str]]:
    """Return for each point its level of each factor of the sweep.

    A study that lists its experiments has no factors; then the fields in which they differ are its
    factors. A factor that does not exist at a point is left out.
    """
    if not study.factors:
        return differing_fields(study.experiments)
    return [
        {
            factor.key: factor.levels[level]
            for factor, level in zip(study.factors, row, strict=True)
            if level is not None
        }
        for row in study.levels
    ]


def differing_fields(configs: Sequence[ExperimentConfig]) -> list[dict[str, str]]:
    """Return for each experiment the fields in which the experiments differ, with their values."""
    flat = [dict(_leaves(canonical(config))) for config in configs]
    keys = list(dict.fromkeys(key for point in flat for key in point))
    differing = [key for key in keys if len({repr(point.get(key)) for point in flat}) > 1]
    return [
        dict(_parts(differing, point, config)) for point, config in zip(flat, configs, strict=True)
    ]


def _parts(
    keys: Sequence[str], point: Mapping[str, Any], config: ExperimentConfig
) -> Iterator[tuple[str, str]]:
    """Yield each field with its value; one without a value is left out."""
    for key in keys:
        value = point[key] if key in point else _requested(config, key)
        if value is not None:
            yield key, _word(value)


def _requested(config: ExperimentConfig, key: str) -> Any:
    """Return a field as it was requested: the canonical form leaves out values without effect."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part, None)
    return value


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
