"""Idle power is measured after it settles, before and after the window; reused if valid (CM-11..34)."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest
from fakes.results import CALIBRATION

from llem_energy._measurement.baseline import baseline_figures
from llem_energy._measurement.idle import Idles, IdleSpan, idle, reusable
from llem_energy._sources.protocol import Kind, Sample, SourceVersions
from llem_energy.records import Baseline, ContextIdle, Quality

DEVICES = ("GPU-1",)


def constant(t_s: float) -> float:
    return 100.0


class Meter:
    """A device whose counter is exact and moves every 20 ms."""

    name = "nvml"
    kind: Kind = "gpu"
    gain_share = None
    devices: tuple[str, ...] = DEVICES

    def __init__(self, power_w: Callable[[float], float]) -> None:
        self._power_w = power_w

    def read(self, *, details: bool = False) -> tuple[Sample, ...]:
        del details
        raise AssertionError("values are computed from recorded samples")

    def power_limit_w(self, device: str) -> float | None:
        return 700.0 if device in self.devices else None

    def versions(self) -> SourceVersions:
        return SourceVersions()

    def close(self) -> None:
        """Nothing is open."""

    def between(self, start_s: float, end_s: float) -> list[Sample]:
        energy_j, samples = 0.0, []
        for i in range(int(100 / 0.02)):
            t_s = i * 0.02
            energy_j += self._power_w(t_s) * 0.02
            if start_s <= t_s <= end_s:
                samples.append(Sample("GPU-1", t_s, 0.0, energy_j=energy_j, temperature_c=41.0))
        return samples


def figures(meter: Meter, idles: Idles, middle_s: float = 35.0) -> tuple[Baseline, Quality]:
    rated_baseline = baseline_figures(meter, meter.between, idles, (), middle_s, "boot")
    return rated_baseline.figures, rated_baseline.quality


BOTH = Idles(context=IdleSpan(2.0, 7.0), before=IdleSpan(10.0, 20.0), after=IdleSpan(60.0, 70.0))


def test_idle_power_is_interpolated_to_the_middle_of_the_window() -> None:
    # 100 W at 15 s, 104 W at 65 s, a straight line in between.
    meter = Meter(lambda t_s: 100 + 0.08 * (t_s - 15))
    baseline, quality = figures(meter, BOTH)
    assert baseline.loaded_before_w == pytest.approx(100, abs=0.01)
    assert baseline.loaded_after_w == pytest.approx(104, abs=0.01)
    assert baseline.power_w == pytest.approx(100 + 4 * 20 / 50, abs=0.01)
    assert baseline.uncertainty_w == pytest.approx(2, abs=0.01)
    assert quality.status == "ok"
    assert baseline.context is not None
    assert baseline.context.power_w == pytest.approx(100 + 0.08 * (4.5 - 15), abs=0.01)
    assert baseline.context.temperature_c == {"GPU-1": 41.0}
    assert baseline.context_reused is False


def test_idle_power_that_changed_is_flagged() -> None:
    meter = Meter(lambda t_s: 100 if t_s < 40 else 120)
    baseline, quality = figures(meter, BOTH)
    assert quality.status == "flagged"
    assert "changed by 20 W" in quality.reasons[0]
    assert baseline.uncertainty_w == pytest.approx(10, abs=0.1)


def test_idle_power_measured_on_one_side_only_is_flagged() -> None:
    _, quality = figures(Meter(constant), Idles(before=IdleSpan(10.0, 20.0)))
    assert quality.status == "flagged"


def test_without_an_idle_phase_there_is_no_idle_power() -> None:
    baseline, quality = figures(Meter(constant), Idles())
    assert baseline.power_w is None
    assert quality.status == "missing"
    assert quality.reasons == ("no baseline was requested",)


def test_a_reused_idle_power_is_marked() -> None:
    baseline, _ = figures(Meter(constant), Idles(reused=EARLIER))
    assert baseline.context == EARLIER
    assert baseline.context_reused is True


EARLIER = ContextIdle(
    devices=DEVICES, power_w=95.0, temperature_c={"GPU-1": 40.0}, at_s=0.0, boot_id="boot"
)


def is_reusable(
    *, age_s: float = 10, now_c: float | None = 41.0, devices: tuple[str, ...] = DEVICES,
    boot: str = "boot",
) -> bool:  # fmt: skip
    earlier = msgspec.structs.replace(EARLIER, at_s=time.perf_counter() - age_s)
    recent = [Sample(device, time.perf_counter(), 0.0, temperature_c=now_c) for device in devices]
    calibration = msgspec.structs.replace(CALIBRATION, boot_id=boot)
    return reusable(earlier, devices, recent, [calibration])


def test_an_idle_power_is_reused_only_if_it_is_still_valid() -> None:
    assert is_reusable()
    assert not is_reusable(age_s=1000)
    assert not is_reusable(age_s=-10)
    assert not is_reusable(now_c=44.0)
    assert not is_reusable(now_c=None)
    assert not is_reusable(devices=("GPU-2",))
    assert not is_reusable(devices=("GPU-1", "GPU-2"))
    assert not is_reusable(boot="another")
    assert not reusable(None, DEVICES, [], [CALIBRATION])


class Clock:
    """A clock that only `sleep` advances."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_idle_power_is_measured_after_power_has_settled() -> None:
    # After half a second it falls by a third and then stays constant.
    clock = Clock()

    def recent() -> list[Sample]:
        times = [clock.now_s - 2.5 + i * 0.05 for i in range(51)]
        return [Sample("GPU-1", t, 0.0, power_w=300 if t < 100.5 else 200) for t in times]

    span = idle(0.2, recent, clock=clock, sleep=clock.sleep)
    assert span.start_s == pytest.approx(102.5)  # two seconds after the fall
    assert span.end_s == pytest.approx(102.7)


def test_without_power_readings_there_is_nothing_to_wait_for() -> None:
    clock = Clock()
    span = idle(0.1, lambda: [], clock=clock, sleep=clock.sleep)
    assert (span.start_s, span.end_s) == (100.0, 100.1)
