"""What a meter shows of others on a GPU, and what it may not be mistaken for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest

from llem_energy._measurement.idle import IdleSpan
from llem_energy._measurement.tenancy_signs import same_clock, tenancy_signs
from llem_energy._metering.window import MeasuredSpan
from llem_energy._sources.protocol import Sample

BEFORE, AFTER = IdleSpan(0.0, 10.0), IdleSpan(32.0, 42.0)
SPAN = MeasuredSpan(20.0, 30.0, 0.0, 1, 0.35)
GIB = 1 << 30


def readings(power_w: Callable[[float], float] = lambda _: 90.0) -> list[Sample]:
    """Return samples at 20 Hz of a GPU with 8 GiB in use that works in the window only."""
    times_s = [i / 20 for i in range(840)]
    return [
        Sample(
            "GPU-a", t_s, 1e-4, power_w=400.0 if 20 < t_s <= 30.06 else power_w(t_s),
            utilisation=1.0 if 12 <= t_s <= 31 else 0.0, memory_used_bytes=8 * GIB,
            sm_clock_mhz=1980.0,
        )
        for t_s in times_s
    ]  # fmt: skip


def changed(
    samples: Sequence[Sample], start_s: float, end_s: float, **values: float
) -> list[Sample]:
    return [
        msgspec.structs.replace(s, **values) if start_s <= s.t_s <= end_s else s for s in samples
    ]


def signs(samples: Sequence[Sample], own_growth_bytes: int | None = 0) -> list[str]:
    loaded = [BEFORE, AFTER]
    return list(tenancy_signs(samples, loaded, loaded, SPAN, own_growth_bytes))


def test_a_quiet_gpu_shows_no_sign() -> None:
    assert signs(readings()) == []
    assert signs(readings(lambda t_s: 90.0 + t_s % 0.1)) == []


def test_a_gpu_that_reports_nothing_shows_no_sign() -> None:
    assert signs([Sample("GPU-a", i / 20, 1e-4) for i in range(840)]) == []
    assert signs([]) == []


def test_work_while_the_run_idles_is_a_sign() -> None:
    (sign,) = signs(changed(readings(), 36.0, 36.0, utilisation=0.03))
    assert "it was 3% busy" in sign


def test_work_of_the_run_just_before_an_idle_phase_is_no_sign() -> None:
    # The driver's value is an average that still contains it.
    assert signs(changed(readings(), 32.0, 32.9, utilisation=0.9)) == []


@pytest.mark.parametrize(("extra_bytes", "n_signs"), [(GIB // 2, 0), (GIB // 2 + 1, 1)])
def test_memory_that_the_run_does_not_explain_is_a_sign(extra_bytes: int, n_signs: int) -> None:
    samples = changed(readings(), 25.0, 26.0, memory_used_bytes=8 * GIB + extra_bytes)
    assert len(signs(samples)) == n_signs
    assert signs(samples, own_growth_bytes=GIB) == []
    assert signs(samples, own_growth_bytes=None) == []


def test_power_next_to_the_window_is_a_sign() -> None:
    def guarded(t_s: float) -> float:
        near = 19.5 <= t_s <= 30.5
        return 120.0 + t_s % 0.1 if near else 90.0

    before, after = signs(readings(guarded))
    assert "just before it, it drew 30" in before
    assert "just after it, it drew 30" in after


@pytest.mark.parametrize(
    ("start_s", "end_s", "power_w", "n_signs"),
    [
        (5.0, 5.5, 240.0, 1),
        (36.0, 36.4, 130.0, 1),
        (36.0, 36.4, 105.0, 0),  # less than 20 W
        (36.0, 36.0, 240.0, 0),  # a single reading
        (32.0, 32.9, 240.0, 0),  # the driver's average still has the work
    ],
)
def test_power_that_rises_while_the_run_idles_is_a_sign(
    start_s: float, end_s: float, power_w: float, n_signs: int
) -> None:
    samples = readings(
        lambda t_s: (power_w if start_s <= t_s <= end_s else 90.0) + 0.01 * (t_s % 0.1)
    )
    found = [sign for sign in signs(samples) if "its power rose" in sign]
    assert len(found) == n_signs


@pytest.mark.parametrize("clock_every", [1, 20], ids=["with each power", "once a second"])
@pytest.mark.parametrize(
    ("slow_mhz", "high_w", "n_signs"),
    [
        (210.0, 70.0, 0),  # the board runs faster
        (1900.0, 70.0, 1),  # about the same clock
        (210.0, 130.0, 1),  # at the higher clock alone it rises from 70 to 130 W
    ],
)
def test_a_higher_clock_explains_power_that_rises_while_the_run_idles(
    slow_mhz: float, high_w: float, n_signs: int, clock_every: int
) -> None:
    def idle_w(t_s: float) -> float:
        if 10.0 < t_s < 32.0:
            return 90.0
        low_w = 35.0 if t_s % 32 < 3.0 else 70.0
        return (high_w if 6.0 <= t_s <= 9.0 else low_w) + 0.01 * (t_s % 0.1)

    samples = changed(readings(idle_w), 0.0, 2.97, sm_clock_mhz=slow_mhz)
    samples = changed(samples, 32.0, 34.97, sm_clock_mhz=slow_mhz)
    rare = [
        s if i % clock_every == 10 % clock_every else msgspec.structs.replace(s, sm_clock_mhz=None)
        for i, s in enumerate(samples)
    ]
    assert len([sign for sign in signs(rare) if "its power rose" in sign]) == n_signs


def test_power_that_comes_to_rest_is_no_rise() -> None:
    assert signs(readings(lambda t_s: 60.0 + 60.0 * 2.0 ** (-(t_s % 32) / 3))) == []


def test_power_that_still_falls_after_the_window_is_no_sign() -> None:
    def tail(t_s: float) -> float:
        return 90.0 + 300.0 * 2.0 ** (-(t_s - 30.0) / 0.1) if 30.0 < t_s < 31 else 90.0

    assert signs(readings(tail)) == []


def test_a_higher_clock_explains_higher_idle_power_next_to_the_window() -> None:
    samples = readings(lambda t_s: 120.0 + t_s % 0.1 if 19.5 <= t_s <= 30.5 else 70.0)
    slow = changed(changed(samples, 1.0, 10.0, sm_clock_mhz=345.0), 33.0, 42.0, sm_clock_mhz=345.0)
    assert len(signs(samples)) == 2
    assert signs(slow) == []


def test_clocks_of_two_idle_phases_are_compared() -> None:
    samples = readings()
    assert same_clock(samples, [BEFORE, AFTER])
    assert not same_clock(changed(samples, 32.0, 42.0, sm_clock_mhz=345.0), [BEFORE, AFTER])
    assert same_clock([], [BEFORE, AFTER])
