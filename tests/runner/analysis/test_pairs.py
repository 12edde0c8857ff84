"""The ratio of two that ran in turn, and how often its interval is wrong."""

from __future__ import annotations

import math
import random

import pytest

from llem_runner.repeats import ratio_of_pairs


def test_the_ratio_of_geometric_means_and_its_interval() -> None:
    found = ratio_of_pairs([20.0, 22.0, 21.0], [10.0, 10.5, 10.8])
    assert found is not None
    means = math.prod([20.0, 22.0, 21.0]) / math.prod([10.0, 10.5, 10.8])
    assert found.ratio == pytest.approx(means ** (1 / 3))
    assert found.ci95_low < found.ratio < found.ci95_high
    assert found.distinguishable
    turned = ratio_of_pairs([10.0, 10.5, 10.8], [20.0, 22.0, 21.0])
    assert turned is not None
    assert turned.ci95_low == pytest.approx(1 / found.ci95_high)


@pytest.mark.parametrize(
    ("first", "second"), [([1.0, 2.0], [1.0, 2.0]), ([1.0, 0.0, 1.0], [1.0, 1.0, 1.0])]
)
def test_too_few_pairs_and_figures_of_zero_give_none(
    first: list[float], second: list[float]
) -> None:
    assert ratio_of_pairs(first, second) is None


def test_equal_figures_cannot_be_told_apart() -> None:
    found = ratio_of_pairs([5.0] * 4, [5.0] * 4)
    assert found is not None
    assert not found.distinguishable
    assert found.ratio == pytest.approx(1.0)


def test_equal_programs_differ_in_about_one_of_twenty_series_also_on_a_drifting_machine() -> None:
    draw = random.Random("pairs")
    n_wrong = 0
    for _ in range(2000):
        drift = draw.uniform(-0.02, 0.02)
        logs: tuple[list[float], list[float]] = ([], [])
        for pair in range(5):
            for place, i in enumerate((0, 1) if pair % 2 == 0 else (1, 0)):
                logs[i].append(drift * (2 * pair + place) + draw.gauss(0, 0.02))
        first, second = ([math.exp(log) for log in each] for each in logs)
        found = ratio_of_pairs(first, second)
        assert found is not None
        n_wrong += found.distinguishable
    assert 0.01 < n_wrong / 2000 < 0.08
