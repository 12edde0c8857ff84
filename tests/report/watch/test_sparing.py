"""Watching takes little processor time, because a costly reading is repeated seldom."""

from __future__ import annotations

from llem_report._watch.sparing import Sparing


class Rig:
    """A function that costs `cost_s`, with clocks that the test moves."""

    def __init__(self, cost_s: float, every_s: float | None = None) -> None:
        self.n_calls = 0
        self.now_s = self.spent_s = 0.0
        self.cost_s = cost_s
        self.sparing = Sparing(
            self._cost,
            min_s=2.0,
            every_s=every_s,
            clock=lambda: self.now_s,
            cost_clock=lambda: self.spent_s,
        )

    def _cost(self) -> int:
        self.n_calls += 1
        self.spent_s += self.cost_s
        return self.n_calls

    def run(self, seconds: int, *, renew: bool = True) -> None:
        for _ in range(seconds):
            self.now_s += 1.0
            if renew:
                self.sparing.renew()
            self.sparing.call()


def test_a_costly_function_takes_one_percent_of_the_time() -> None:
    rig = Rig(cost_s=1.0)
    rig.run(1001)
    assert rig.n_calls == 11
    assert rig.spent_s / rig.now_s < 0.011


def test_a_cheap_function_follows_each_change_but_not_more_often_than_allowed() -> None:
    rig = Rig(cost_s=0.0)
    rig.run(100)
    assert rig.n_calls == 50


def test_nothing_is_read_again_without_a_change() -> None:
    rig = Rig(cost_s=0.0)
    rig.run(100, renew=False)
    assert (rig.n_calls, rig.sparing.call(), rig.sparing.has_called) == (1, 1, False)


def test_a_value_that_ages_is_read_again_in_time() -> None:
    rig = Rig(cost_s=0.0, every_s=10.0)
    rig.run(100, renew=False)
    assert rig.n_calls == 10


def test_when_nothing_can_be_disturbed_it_is_read_at_once() -> None:
    rig = Rig(cost_s=100.0)
    rig.sparing.call()
    rig.sparing.renew()
    assert rig.sparing.call() == 1
    assert rig.sparing.call(at_once=True) == 2
