"""Build the `overrides` of `load_study` from `key=value` flags, or a whole study without a file.

from llem_config.overrides import merge, override, parse_value
flags = merge(override("n", parse_value("8")), override("pytorch.batch_size", 4))
study = load_study("study.yaml", overrides=flags)
study = study_from_fields({"model": "gpt2", "sweep": {"n": [8, 16]}}, overrides=flags)
"""

from __future__ import annotations

from typing import Any

from llem_config._loading.layers import merge, nested
from llem_config._loading.load import experiment_from_fields, study_from_fields
from llem_config._loading.yaml_document import parse_value
from llem_config._loading.yaml_writing import in_flow

__all__ = [
    "experiment_from_fields",
    "in_flow",
    "merge",
    "override",
    "parse_value",
    "study_from_fields",
]


def override(key: str, value: Any) -> dict[str, Any]:
    """Return the flag `key=value` in the shape of a study file; a dotted key is nested."""
    return nested(tuple(key.split(".")), value)
