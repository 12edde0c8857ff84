"""Warm-up until the work is steady, with a scripted clock and power (CM-11 to CM-34)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat

import pytest

from llem_config import WarmupConfig
from llem_energy._measurement.warm_up import WarmUp, warm_up
from llem_energy._sources.protocol import Sample
from llem_energy.backends import Batch


class Work:
    """Batches with scripted durations on a scripted clock, and the samples of a device."""

    def __init__(
        self, *durations_s: float, power_w: Callable[[float], float] | None = None, heat: float = 0
    ) -> None:
        self._durations_s: Iterator[float] = chain(durations_s, repeat(durations_s[-1]))
        self._power_w = power_w
        self._heat_c_per_s = heat
        self.now_s = 1000.0
        self.shapes: list[tuple[int, int]] = []

    def timed(self, batch: Batch) -> float:
        self.shapes.append(batch.shape)
        duration_s = next(self._durations_s)
        self.now_s += duration_s
        return duration_s

    def samples(self) -> list[Sample]:
        if self._power_w is None:
            return []
        times = [self.now_s - i * 0.05 for i in range(1300, -1, -1)]
        return [
            Sample(
                "GPU-1", t, 0.0, power_w=self._power_w(t - 1000),
                temperature_c=float(round(40 + self._heat_c_per_s * (t - 1000))),
            )
            for t in times
        ]  # fmt: skip

    def warm_up(
        self,
        config: WarmupConfig,
        shapes: Sequence[tuple[int, int]] = ((1, 8),),
        compiled: Sequence[int] = (0,),
    ) -> WarmUp:
        """Warm up; `compiled` holds the number of compilations after 0, 1, 2, ... batches."""

        def compilations() -> int:
            return compiled[min(len(self.shapes), len(compiled) - 1)]

        return warm_up(
            config,
            [Batch(s[0], s, (s[1],) * s[0], None) for s in shapes],
            self.timed,
            self.samples,
            compilations=compilations,
            clock=lambda: self.now_s,
        )


def steady(t_s: float) -> float:
    return 300.0


def test_a_fixed_warm_up_runs_each_shape_once_and_then_n_warmup_repeats() -> None:
    work = Work(0.01)
    config = WarmupConfig(n_warmup=3, convergence_detection=False)
    outcome = work.warm_up(config, [(4, 8), (4, 8), (4, 6), (1, 8)])
    assert work.shapes == [(4, 8), (4, 6), (1, 8), *[(4, 8)] * 3]
    assert (outcome.report.n_repeats, outcome.converged) == (3, None)


@pytest.mark.parametrize(
    ("compiled", "n_passes"),
    [
        ((0, 1, 1), 3),  # the third pass replays a recorded graph
        ((0, 1, 2, 2, 2, 3, 3, 3), 4),  # until a pass compiles nothing
        (tuple(range(40)), 8),  # it never ends; compilations inside the window are then a warning
    ],
)
def test_each_shape_is_repeated_until_nothing_more_is_compiled(
    compiled: tuple[int, ...], n_passes: int
) -> None:
    work = Work(0.01)
    shapes = [(4, 8), (1, 8)]
    config = WarmupConfig(n_warmup=1, convergence_detection=False)
    work.warm_up(config, shapes, compiled)
    assert work.shapes == [*shapes * n_passes, (4, 8)]


def test_compilation_that_does_not_stop_is_flagged_and_capped() -> None:
    endless = tuple(range(100))
    outcome = Work(0.01).warm_up(WarmupConfig(n_warmup=1), [(4, 8), (1, 8)], endless)
    assert (outcome.converged, outcome.problem) == (False, "code was still compiled")
    # The first pass is always needed; the maximum duration limits the passes after it.
    slow = Work(50.0)
    config = WarmupConfig(n_warmup=1, convergence_detection=False, max_warmup_seconds=120)
    slow.warm_up(config, [(4, 8), (1, 8)], endless)
    assert slow.shapes == [(4, 8), (1, 8)] * 3 + [(4, 8)]


def test_a_disabled_warm_up_does_nothing() -> None:
    work = Work(0.01)
    outcome = work.warm_up(WarmupConfig(enabled=False))
    assert work.shapes == []
    assert (outcome.report.n_repeats, outcome.converged) == (0, None)


def test_the_warm_up_continues_until_the_latency_is_stationary() -> None:
    work = Work(0.9, 0.2, 0.15, 0.1, 0.06, 0.03)
    outcome = work.warm_up(WarmupConfig(n_warmup=2, cv_threshold=0.02))
    assert outcome.converged is True
    assert outcome.report.n_repeats == 9  # four too slow, then five alike
    assert outcome.report.latency_cv == 0


def test_the_warm_up_lasts_as_long_as_its_thermal_floor() -> None:
    work = Work(0.01)
    config = WarmupConfig(n_warmup=1, convergence_detection=False, thermal_floor_seconds=3)
    assert work.warm_up(config).report.duration_s == pytest.approx(3, abs=0.011)


def test_a_latency_that_never_settles_ends_the_warm_up_at_max_warmup() -> None:
    work = Work(*[0.01, 0.05] * 100)
    outcome = work.warm_up(WarmupConfig(n_warmup=1, cv_threshold=0.01, max_warmup=7))
    assert (outcome.report.n_repeats, outcome.converged) == (7, False)
    assert outcome.problem == "the latency was not stationary (cv_threshold 0.01)"


def test_the_warm_up_ends_after_its_maximum_duration() -> None:
    work = Work(*[0.01, 0.05] * 100)
    config = WarmupConfig(n_warmup=1, cv_threshold=0.01, max_warmup_seconds=0.3)
    outcome = work.warm_up(config)
    assert outcome.converged is False
    assert outcome.report.n_repeats < 20


def test_a_metered_device_is_observed_for_at_least_ten_seconds() -> None:
    work = Work(0.1, power_w=steady)
    outcome = work.warm_up(WarmupConfig())
    assert outcome.converged is True
    assert 10 <= outcome.report.duration_s < 11
    assert outcome.report.power_slope_per_min == pytest.approx(0, abs=1e-9)


def test_rising_power_continues_the_warm_up_past_max_warmup() -> None:
    # 5 % a minute for half a minute, then steady: measuring earlier would bias a comparison.
    work = Work(0.1, power_w=lambda t_s: 300 * (1 + 0.05 * min(t_s, 30) / 60))
    outcome = work.warm_up(WarmupConfig(max_warmup=20))
    assert outcome.converged is True
    assert 30 < outcome.report.duration_s < 42
    assert outcome.report.n_repeats > 20


def test_power_that_never_settles_is_flagged_at_the_maximum_duration() -> None:
    work = Work(0.1, power_w=lambda t_s: 300 * (1 + 0.05 * t_s / 60))
    outcome = work.warm_up(WarmupConfig(max_warmup_seconds=20))
    assert outcome.converged is False
    assert outcome.problem is not None
    assert outcome.problem.startswith(("power still changed by +4.", "power still changed by +5.0"))
    assert 20 <= outcome.report.duration_s < 20.2


def test_rising_temperature_continues_the_warm_up() -> None:
    work = Work(0.1, power_w=steady, heat=0.5)
    outcome = work.warm_up(WarmupConfig(max_warmup_seconds=15))
    assert outcome.converged is False
    assert outcome.problem == "temperature still changed by +30.0 C per minute" or (
        outcome.problem is not None and outcome.problem.startswith("temperature still changed by +")
    )


def test_noise_around_a_constant_power_is_not_a_drift() -> None:
    work = Work(0.1, power_w=lambda t_s: 300.0 + (60 if int(t_s / 0.4) % 2 else -60))
    # It only takes longer: until a drift of 5 % a minute would have been detected.
    outcome = work.warm_up(WarmupConfig())
    assert outcome.converged is True
    assert 30 < outcome.report.duration_s < 65


def test_drift_is_detected_despite_noise() -> None:
    noisy = Work(
        0.1, power_w=lambda t_s: 300.0 * (1 + 0.3 * t_s / 60) + (60 if int(t_s / 0.4) % 2 else -60)
    )
    outcome = noisy.warm_up(WarmupConfig(max_warmup_seconds=100))
    assert outcome.converged is False
    assert outcome.problem is not None
    assert outcome.problem.startswith("power still changed by +2")
