"""The names of the points of a study."""

from __future__ import annotations

from typing import Any

import pytest

from llem_config import ExperimentConfig
from llem_runner._plan.labels import labels


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            {"dataset": {"source": "p.jsonl", "chat_template": "auto"}},
            {"dataset": {"source": "p.jsonl", "chat_template": "none"}},
            ["dataset.chat_template=auto", "dataset.chat_template=none"],
        ),
        ({"pytorch": {"batch_size": 8}}, {}, ["pytorch.batch_size=8", "defaults"]),
        ({}, {}, ["org/m", "org/m"]),
    ],
)
def test_a_label_has_the_fields_in_which_the_points_differ(
    first: dict[str, Any], second: dict[str, Any], expected: list[str]
) -> None:
    configs = [ExperimentConfig.model_validate({"model": "org/m", **c}) for c in (first, second)]
    assert labels(configs) == expected
