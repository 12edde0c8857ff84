"""Steps that the code in a window notes."""

from __future__ import annotations

import pytest

from llem_energy._meter.step_times import StepTimes


def test_median_and_mean_time_between_the_ends_of_steps_are_what_repeats() -> None:
    steps = StepTimes()
    for end_s in (1.0, 1.1, 1.2, 1.3, 2.3):
        steps.add(end_s)
    assert steps.repeated_s() == pytest.approx((0.1, 1.3 / 4))


def test_steps_of_several_threads_may_come_in_any_order() -> None:
    steps = StepTimes()
    for end_s in (1.2, 1.0, 1.1):
        steps.add(end_s)
    assert steps.repeated_s() == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_steps_tell_nothing(n: int) -> None:
    steps = StepTimes()
    for k in range(n):
        steps.add(float(k))
    assert steps.repeated_s() == ()


def test_only_the_newest_steps_are_kept() -> None:
    steps = StepTimes()
    for k in range(100_001):
        steps.add(k if k else -1e6)
    assert steps.repeated_s() == (1.0, 1.0)
