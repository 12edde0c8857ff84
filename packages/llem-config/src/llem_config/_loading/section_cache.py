"""Validation of many points that have sections in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from llem_config._spec.experiment import SECTIONS, ExperimentConfig
from llem_config._spec.hashing import MAX_KNOWN


class Validator:
    """Makes experiments of plain data; those with the same section share it.

    That saves half of the time and memory. Only sections with nothing mutable in them are shared.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], BaseModel] = {}

    def __call__(self, data: Mapping[str, Any]) -> ExperimentConfig | ValidationError:
        """Return the validated experiment, or why it is none."""
        prepared: dict[str, Any] | None = None
        for name, given in data.items():
            if type(given) is not dict or name not in SECTIONS:
                continue
            key = (name, repr(given))  # unlike ==, tells 1 from 1.0 and from true
            section = self._known.get(key)
            if section is None:
                try:
                    section = SECTIONS[name].model_validate(given)
                    hash(section)
                except (ValidationError, TypeError):
                    continue  # broken: validated with the rest, for errors with its whole route
                if len(self._known) < MAX_KNOWN:
                    self._known[key] = section
            prepared = prepared or dict(data)
            prepared[name] = section
        try:
            return ExperimentConfig.model_validate(prepared or data)
        except ValidationError as error:
            if prepared is None:
                return error
        try:  # again from plain data, so that the errors speak of what was written
            return ExperimentConfig.model_validate(data)
        except ValidationError as error:
            return error
