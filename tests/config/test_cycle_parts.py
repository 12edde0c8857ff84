"""Which points run in which cycles of a study that has grown; part of no hash."""

from __future__ import annotations

import json

import pytest
from fakes.studies import experiment
from pydantic import ValidationError

from llem_config import CyclePart, ExecutionConfig, StudyConfig, cycles_and_points


def grown(*parts: tuple[int, tuple[int, ...]]) -> StudyConfig:
    return StudyConfig(
        experiments=tuple(experiment(n=n) for n in (1, 2, 3)),
        execution=ExecutionConfig(n_cycles=6),
        parts=tuple(CyclePart(last_cycle=last, points=points) for last, points in parts),
    )


def test_all_points_run_in_the_cycles_after_the_last_part() -> None:
    study = grown((2, (0, 1)), (5, (0, 2)))
    assert list(cycles_and_points(study.parts, 6, 3)) == [
        (range(1, 3), (0, 1)),
        (range(3, 6), (0, 2)),
        (range(6, 7), (0, 1, 2)),
    ]


def test_parts_change_no_hash_and_are_stored_only_if_there_are_any() -> None:
    study = grown((2, (0, 1)))
    assert study.study_design_hash == grown().study_design_hash
    assert "parts" not in json.loads(grown().model_dump_json())
    assert StudyConfig.model_validate_json(study.model_dump_json()).parts == study.parts


def test_a_copy_with_other_points_has_no_parts() -> None:
    study = grown((2, (0, 1)))
    assert study.model_copy(update={"experiments": study.experiments[:1]}).parts == ()
    assert study.model_copy(update={"name": "other"}).parts == study.parts


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        (((2, (0, 3)),), "expected each of 3 points at most once"),
        (((2, (0, 0)),), "expected each of 3 points at most once"),
        (((2, (0,)), (2, (1,))), "expected a part that ends after cycle 2, found cycle 2"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    parts: tuple[tuple[int, tuple[int, ...]], ...], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        grown(*parts)
