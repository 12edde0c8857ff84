"""Power that is set while the fake runs is the true power, in the counter and in the readings."""

from __future__ import annotations

from fakes.fake_nvml import FakeGpu
from fakes.nvml_probe import Rig


def set_power(t_s: float, watts: float, index: int = 0) -> str:
    """Return the expression that sets the power of a GPU from a time on."""
    return (
        f"fake.fake_nvml_set_power({index}, ctypes.c_double({t_s!r}), ctypes.c_double({watts!r}))"
    )


def test_the_counter_follows_power_that_was_set_in_advance(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 100.0),), counter_period_s=0.1, counter_initial_mj=0)
    *done, at_1, at_3, truth = rig.ask(
        gpu, set_power(1.0, 300.0), set_power(2.0, 50.0), "energy(1.0)", "energy(3.0)",
        "truth(0, 0.5, 2.5)",
    )  # fmt: skip
    assert done == [1, 1]
    assert (at_1, at_3) == (100_000, 450_000)
    assert truth == 50.0 + 300.0 + 25.0


def test_power_at_the_same_time_is_replaced(rig: Rig) -> None:
    answers = rig.ask(FakeGpu(), set_power(1.0, 300.0), set_power(1.0, 200.0), "truth(0, 1.0, 2.0)")
    assert answers == [1, 1, 200.0]


def test_power_in_the_past_of_the_script_is_refused(rig: Rig) -> None:
    answers = rig.ask(FakeGpu(), set_power(2.0, 300.0), set_power(1.0, 200.0), "truth(0, 1.0, 3.0)")
    assert answers == [1, 0, 400.0]


def test_power_that_the_fake_cannot_draw_is_refused(rig: Rig) -> None:
    repeated = FakeGpu(points=((0.0, 100.0),), repeat_s=1.0)
    assert rig.ask(repeated, set_power(2.0, 300.0)) == [0]
    assert rig.ask(FakeGpu(), set_power(2.0, -1.0), set_power(2.0, 300.0, index=1)) == [0, 0]
