"""How much power is still to come at the end of a warm-up, from simulated traces."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from llem_config import WarmupConfig
from llem_energy._measurement.energy_flags import power_left_flags, power_left_warnings
from llem_energy._measurement.power_left import power_left
from llem_energy._measurement.warm_up import WarmUp, warm_up
from llem_energy._sources.protocol import Sample
from llem_energy.backends import Batch
from llem_energy.records import WarmUpReport

RIPPLE_S = 0.4


def samples(
    level: Callable[[float], float], duration_s: float, *, noise: float = 0.01, seed: int = 1
) -> list[Sample]:
    """Return ten samples a second of about 400 W, with a ripple of 8 % and noise."""
    rng = random.Random(seed)
    return [
        Sample(
            "GPU-1",
            1000.05 + 0.1 * i,
            0.0,
            power_w=400
            * level(0.1 * i)
            * (1 + (0.08 if (i % 4) == 0 else -0.027) + rng.gauss(0, noise)),
        )
        for i in range(int(10 * duration_s))
    ]


def approaching(tau_s: float, rise: float) -> Callable[[float], float]:
    return lambda t_s: 1 - rise * math.exp(-t_s / tau_s)


def left(trace: list[Sample], duration_s: float) -> Any:
    return power_left(trace, 1000.0, 1000.0 + duration_s, RIPPLE_S)


@pytest.mark.parametrize("tau_s", [60.0, 120.0, 180.0])
def test_what_is_still_to_come_is_estimated_from_the_whole_trace(tau_s: float) -> None:
    duration_s, level = 1.2 * tau_s, approaching(tau_s, 0.1)
    truth = 1 / level(duration_s) - 1
    found = left(samples(level, duration_s, noise=0.002), duration_s)
    assert found.reason is None
    assert found.share == pytest.approx(truth, abs=0.012)
    assert found.is_large


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_power_that_has_arrived_is_not_flagged(noise: float) -> None:
    found = left(samples(approaching(30, 0.1), 150, noise=noise), 150)
    assert found.share == pytest.approx(0.0, abs=0.004)
    assert not found.is_large


def test_falling_power_has_a_negative_share() -> None:
    found = left(samples(approaching(60, -0.1), 80), 80)
    assert found.share is not None
    assert -0.05 < found.share < -0.01
    assert found.is_large


def test_flat_power_is_flagged_in_at_most_two_per_cent_of_traces() -> None:
    found = [left(samples(lambda _: 1.0, 60, seed=seed), 60) for seed in range(100)]
    assert sum(each.is_large for each in found) <= 2
    assert sum(each.share is not None for each in found) > 50


def test_the_sum_of_all_devices_counts() -> None:
    rising = samples(approaching(60, 0.1), 60, noise=0.001)
    steady = [Sample("GPU-2", s.t_s, 0.0, power_w=400.0) for s in rising]
    alone, both = left(rising, 60), left(rising + steady, 60)
    assert alone.share is not None
    assert both.share == pytest.approx(alone.share / 2, rel=0.1)


@pytest.mark.parametrize(
    ("trace", "duration_s", "reason"),
    [
        ([], 60.0, "no power was read"),
        ([Sample("GPU-1", 1000 + i, 0.0) for i in range(60)], 60.0, "no power was read"),
        (samples(lambda _: 1.0, 11), 11.0, "the warm-up was too short"),
        (samples(lambda _: 1.0, 30, noise=0.3), 30.0, "the power varied too much"),
    ],
    ids=["no samples", "no power", "short", "noisy"],
)
def test_what_cannot_be_told_is_missing_with_its_reason(
    trace: list[Sample], duration_s: float, reason: str
) -> None:
    found = left(trace, duration_s)
    assert found.share is None
    assert found.reason is not None and found.reason.startswith(reason)
    assert not found.is_large


def test_a_warm_up_reports_it_and_a_large_share_flags_the_energy() -> None:
    trace = samples(approaching(100, 0.1), 200)
    now_s = 1000.0

    def timed(_: Batch) -> float:
        nonlocal now_s
        now_s += RIPPLE_S
        return RIPPLE_S

    def outcome(min_s: float) -> WarmUp:
        nonlocal now_s
        now_s = 1000.0
        config = WarmupConfig(thermal_floor_seconds=min_s, convergence_detection=False)
        batch = Batch(1, (1, 8), (8,), None)
        return warm_up(
            config,
            [batch],
            timed,
            lambda: [sample for sample in trace if sample.t_s <= now_s],
            clock=lambda: now_s,
        )

    short = outcome(90)
    share = short.report.power_left_share
    assert share == pytest.approx(0.1 * math.exp(-0.9), abs=0.015)
    (reason,) = power_left_flags(SimpleNamespace(warm_up=short))  # type: ignore[arg-type]
    assert reason.startswith(
        f"at the end of the warm-up the power was still rising, by about {share:.1%}"
    )
    none = WarmUpReport(n_repeats=1, duration_s=1.0, latency_cv=None, power_left_reason="short")
    assert power_left_flags(SimpleNamespace(warm_up=WarmUp(none, None))) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "is_enabled", "reason", "n_warnings"),
    [("gpu", True, "short", 1), ("gpu", True, None, 0), ("gpu", False, "off", 0), ("cpu", True, "none", 0)],
)  # fmt: skip
def test_what_is_not_known_of_a_gpu_is_a_warning(
    kind: str, is_enabled: bool, reason: str | None, n_warnings: int
) -> None:
    report = WarmUpReport(n_repeats=1, duration_s=1.0, latency_cv=None, power_left_reason=reason)
    raw: Any = SimpleNamespace(
        warm_up=WarmUp(report, None),
        source=SimpleNamespace(kind=kind),
        config=SimpleNamespace(warmup=WarmupConfig(enabled=is_enabled)),
    )
    found = list(power_left_warnings(raw))
    assert len(found) == n_warnings
    assert all(sentence.startswith("short; a longer warm-up shows it") for sentence in found)
