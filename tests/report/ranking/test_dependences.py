"""Issue 13: choices that flip with another choice are found by sign, not by their variance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from report.ranking.studies import design, grid, nested_backends, runs_of

from llem_report._ranking.ranking import Ranking, rank_factors

if TYPE_CHECKING:
    from llem_report._ranking.designs import Design, Floats


def ranking_of(study: Design, truth: Floats) -> Ranking:
    spread = np.random.default_rng(9).normal(size=(3, len(truth))) * 0.005
    return rank_factors(*runs_of(truth, 3, spread), study, source="runs")


def test_a_choice_that_reverses_is_a_flip() -> None:
    study = design(grid(2, 3, 2))
    # Level 1 of f0 is worse by 0.1 where f1 is 0, and better by 0.1 where f1 is 2.
    truth = study.levels[:, 0] * (0.1 - 0.1 * study.levels[:, 1])
    found = ranking_of(study, truth).dependences.listed
    flip = next(each for each in found if (each.factor, each.other) == (0, 1))
    assert flip.flips
    assert flip.levels.tolist() == [0, 1, 2]
    assert flip.difference == pytest.approx([-0.1, 0.0, 0.1], abs=0.01)  # a is level 0


def test_a_choice_that_only_grows_depends_without_a_flip() -> None:
    study = design(grid(2, 3, 2))
    truth = study.levels[:, 0] * (0.1 + 0.1 * study.levels[:, 1])
    found = ranking_of(study, truth).dependences.listed
    assert found[0].factor == 0
    assert found[0].other == 1
    # From f1 to f0 it is a flip neither, because f1 does nothing where f0 is 0.
    assert not any(each.flips for each in found)


def test_additive_choices_depend_on_nothing() -> None:
    study = design(grid(2, 3, 2))
    truth = 0.2 * study.levels[:, 0] + 0.1 * study.levels[:, 1]
    dependences = ranking_of(study, truth).dependences
    assert dependences.listed == []
    assert dependences.median_half_width is not None


def test_flips_come_first_and_others_are_at_most_ten() -> None:
    study = design(grid(2, 6, 6))
    truth = (
        study.levels[:, 0] * (0.05 - 0.02 * study.levels[:, 1])
        + 0.05 * study.levels[:, 1] * study.levels[:, 2]
    )
    found = ranking_of(study, truth).dependences.listed
    flips = [each.flips for each in found]
    assert any(flips)
    assert flips == sorted(flips, reverse=True)
    assert flips.count(False) == 10
    gaps = [each.gap for each in found if not each.flips]
    assert gaps == sorted(gaps, reverse=True)


def test_a_nested_factor_is_not_seen_across_its_backend() -> None:
    study = design(nested_backends())
    found = ranking_of(study, 0.3 * np.maximum(study.levels[:, 1], 0) * (1 + study.levels[:, 3]))
    pairs = {(each.factor, each.other) for each in found.dependences.listed}
    assert (1, 3) in pairs
    assert not pairs & {(0, 1), (1, 0), (1, 2), (2, 1)}
