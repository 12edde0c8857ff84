"""Warm-up until the work is steady, on a clock and with powers that are scripted (CM-11 to CM-34)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat

import pytest

from llem_config import WarmupConfig
from llem_energy import Batch
from llem_energy._measurement.warm_up import WarmUp, warm_up
from llem_energy._sources.protocol import Sample


class Work:
    """Batches that take scripted times on a clock of their own, and the samples of a device."""

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
        """Warm up; `compiled` holds how much had been compiled after so many answers."""

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


def test_a_fixed_warm_up_runs_its_count_after_each_shape_once() -> None:
    work = Work(0.01)
    config = WarmupConfig(n_warmup=3, convergence_detection=False)
    found = work.warm_up(config, [(4, 8), (4, 8), (4, 6), (1, 8)])
    assert work.shapes == [(4, 8), (4, 6), (1, 8), *[(4, 8)] * 3]
    assert (found.report.n_repeats, found.converged) == (3, None)


@pytest.mark.parametrize(
    ("compiled", "n_passes"),
    [
        ((0, 1, 1), 3),  # the third time, a recorded graph is played back
        ((0, 1, 2, 2, 2, 3, 3, 3), 4),  # until a pass compiles nothing
        (tuple(range(40)), 8),  # it never ends: the count inside the window will tell
    ],
)
def test_each_shape_is_repeated_until_nothing_is_compiled_any_more(
    compiled: tuple[int, ...], n_passes: int
) -> None:
    work = Work(0.01)
    shapes = [(4, 8), (1, 8)]
    config = WarmupConfig(n_warmup=1, convergence_detection=False)
    work.warm_up(config, shapes, compiled)
    assert work.shapes == [*shapes * n_passes, (4, 8)]


def test_compilation_that_does_not_stop_is_flagged_and_capped() -> None:
    endless = tuple(range(100))
    found = Work(0.01).warm_up(WarmupConfig(n_warmup=1), [(4, 8), (1, 8)], endless)
    assert (found.converged, found.problem) == (False, "code was still compiled")
    # A first pass of whatever length is needed; the cap is on those that follow.
    slow = Work(50.0)
    config = WarmupConfig(n_warmup=1, convergence_detection=False, max_warmup_seconds=120)
    slow.warm_up(config, [(4, 8), (1, 8)], endless)
    assert slow.shapes == [(4, 8), (1, 8)] * 3 + [(4, 8)]


def test_a_warm_up_that_is_switched_off_does_nothing() -> None:
    work = Work(0.01)
    found = work.warm_up(WarmupConfig(enabled=False))
    assert work.shapes == []
    assert (found.report.n_repeats, found.converged) == (0, None)


def test_the_warm_up_goes_on_until_the_latency_is_stationary() -> None:
    work = Work(0.9, 0.2, 0.15, 0.1, 0.06, 0.03)
    found = work.warm_up(WarmupConfig(n_warmup=2, cv_threshold=0.02))
    assert found.converged is True
    assert found.report.n_repeats == 9  # four too slow, then five alike
    assert found.report.latency_cv == 0


def test_the_warm_up_lasts_as_long_as_its_thermal_floor() -> None:
    work = Work(0.01)
    config = WarmupConfig(n_warmup=1, convergence_detection=False, thermal_floor_seconds=3)
    assert work.warm_up(config).report.duration_s == pytest.approx(3, abs=0.011)


def test_a_latency_that_never_settles_ends_it_at_the_most_repeats() -> None:
    work = Work(*[0.01, 0.05] * 100)
    found = work.warm_up(WarmupConfig(n_warmup=1, cv_threshold=0.01, max_warmup=7))
    assert (found.report.n_repeats, found.converged) == (7, False)
    assert found.problem == "the latency was not stationary (cv_threshold 0.01)"


def test_the_warm_up_gives_up_after_its_longest_time() -> None:
    work = Work(*[0.01, 0.05] * 100)
    config = WarmupConfig(n_warmup=1, cv_threshold=0.01, max_warmup_seconds=0.3)
    found = work.warm_up(config)
    assert found.converged is False
    assert found.report.n_repeats < 20


def test_a_metered_device_is_watched_for_ten_seconds_at_least() -> None:
    work = Work(0.1, power_w=steady)
    found = work.warm_up(WarmupConfig())
    assert found.converged is True
    assert 10 <= found.report.duration_s < 11
    assert found.report.power_slope_per_min == pytest.approx(0, abs=1e-9)


def test_power_that_still_rises_keeps_it_warming_past_the_most_repeats() -> None:
    # 5 % a minute for half a minute, then steady: a false ranking in the making.
    work = Work(0.1, power_w=lambda t_s: 300 * (1 + 0.05 * min(t_s, 30) / 60))
    found = work.warm_up(WarmupConfig(max_warmup=20))
    assert found.converged is True
    assert 30 < found.report.duration_s < 42
    assert found.report.n_repeats > 20


def test_power_that_never_settles_is_flagged_at_the_longest_time() -> None:
    work = Work(0.1, power_w=lambda t_s: 300 * (1 + 0.05 * t_s / 60))
    found = work.warm_up(WarmupConfig(max_warmup_seconds=20))
    assert found.converged is False
    assert found.problem is not None
    assert found.problem.startswith(("power still changed by +4.", "power still changed by +5.0"))
    assert 20 <= found.report.duration_s < 20.2


def test_temperature_that_still_rises_keeps_it_warming() -> None:
    work = Work(0.1, power_w=steady, heat=0.5)
    found = work.warm_up(WarmupConfig(max_warmup_seconds=15))
    assert found.converged is False
    assert found.problem == "temperature still changed by +30.0 C per minute" or (
        found.problem is not None and found.problem.startswith("temperature still changed by +")
    )


def test_noise_around_a_constant_power_is_no_drift() -> None:
    work = Work(0.1, power_w=lambda t_s: 300.0 + (60 if int(t_s / 0.4) % 2 else -60))
    # It only takes longer to tell: until a drift of 5 % a minute would have been seen.
    found = work.warm_up(WarmupConfig())
    assert found.converged is True
    assert 30 < found.report.duration_s < 65


def test_a_drift_under_noise_is_seen_all_the_same() -> None:
    noisy = Work(
        0.1, power_w=lambda t_s: 300.0 * (1 + 0.3 * t_s / 60) + (60 if int(t_s / 0.4) % 2 else -60)
    )
    found = noisy.warm_up(WarmupConfig(max_warmup_seconds=100))
    assert found.converged is False
    assert found.problem is not None
    assert found.problem.startswith("power still changed by +2")
