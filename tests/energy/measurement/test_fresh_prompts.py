"""Warm-up and further passes have prompts of their own, in batches of the measured shapes."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from energy.models import text_experiment
from energy.parts import experiment, loaded

from llem_config import ExperimentConfig
from llem_energy import BackendError, measure
from llem_energy._measurement.fresh_prompts import (
    FreshPrompts,
    RandomPause,
    WarmUpWork,
    WindowWork,
)
from llem_energy._prompts.load import fingerprint, load_prompts
from llem_energy.backends import Batch, Workload

UNEQUAL = {"input_tokens": {"distribution": "uniform", "min": 3, "max": 8}}


def prepared(config: ExperimentConfig) -> tuple[Any, Workload, FreshPrompts]:
    backend = loaded(config)
    measured = backend.prepare(load_prompts(config, backend.vocabulary()))
    return backend, measured, FreshPrompts(config, backend, measured)


def rows(batches: Sequence[Batch]) -> list[tuple[int, ...]]:
    """Return the tokens of every prompt, without padding."""
    return [
        tuple(ids[-n:])
        for batch in batches
        for ids, n in zip(batch.inputs["input_ids"].tolist(), batch.lengths, strict=True)
    ]


def shapes(workload: Workload) -> list[Any]:
    return [(b.shape, b.lengths, b.prompt_indices) for b in workload.batches]


@pytest.mark.parametrize("batching", ["static", "sorted"])
def test_each_pass_has_other_prompts_of_the_same_lengths_at_the_same_positions(
    batching: str,
) -> None:
    config = experiment(n=7, dataset=UNEQUAL, pytorch={"batching": batching})
    _, measured, fresh = prepared(config)
    first, *others = fresh.passes(1.0, 0.1)
    assert first is measured
    # 4 batches of 0.1 s: 2.5 passes, and ten times as many in case the window is faster.
    assert len(others) == 24
    assert [shapes(each) for each in others] == [shapes(measured)] * 24
    prompts = [prompt for each in (first, *others) for prompt in rows(each.batches)]
    assert len(set(prompts)) == 25 * 7


def test_the_warm_up_has_one_batch_of_each_shape_and_none_of_the_measured_prompts() -> None:
    config = experiment(n=7, dataset=UNEQUAL)
    _, measured, fresh = prepared(config)
    batches = fresh.warm_up()
    assert batches[0].shape == measured.batches[0].shape
    assert [b.shape for b in batches] == list(dict.fromkeys(b.shape for b in measured.batches))
    assert not set(rows(batches)) & set(rows(measured.batches))
    assert len({row[0] for row in rows(batches)} | {row[0] for row in rows(measured.batches)}) > 8


def test_the_measured_prompts_are_those_of_the_seed_whatever_else_is_drawn() -> None:
    result = measure(experiment(n=4))
    sha256 = "7eeeffc6a7eff9daf62dbf2f504d6cc50e290b7816730961534609a33da60675"
    assert result.prompts_sha256 == sha256
    assert fingerprint(load_prompts(experiment(n=4), range(8, 4096))) == sha256
    assert result.cached_input_tokens == 0


def test_the_same_seed_gives_the_same_further_prompts_and_another_seed_others() -> None:
    drawn = []
    for seed in (1, 1, 2):
        _, _, fresh = prepared(experiment(n=3, random_seed=seed))
        drawn.append([rows(each.batches) for each in fresh.passes(1.0, 0.2)[1:]])
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_texts_of_a_data_set_are_measured_alone_and_the_warm_up_has_their_lengths(
    text_model: Any,
) -> None:
    config = text_experiment(text_model)
    _, measured, fresh = prepared(config)
    assert fresh.passes(100.0, 0.001) == (measured,)
    batches = fresh.warm_up()
    assert {b.shape for b in batches} == {b.shape for b in measured.batches}
    assert not set(rows(batches)) & set(rows(measured.batches))


@pytest.mark.parametrize(
    ("min_window_s", "fastest_s", "n_passes"),
    [
        (0.0, 0.001, 1),
        (1.0, 10.0, 1),
        (1.0, 0.5, 10),
        (1.0, None, 8),
        (1.0, 0.005, 2**17 // 280),
        (1.0, 0.001, 750),
        (1e9, 1e-3, 2**21 // 280),
    ],
)
def test_as_many_passes_are_prepared_as_the_window_may_need(
    min_window_s: float, fastest_s: float | None, n_passes: int
) -> None:
    """2 batches of 12 tokens each; the memory of all prompts together is limited."""
    _, _, fresh = prepared(experiment(n=3))
    assert len(fresh.passes(min_window_s, fastest_s)) == n_passes


class Recording:
    """A backend that records the order of its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def clear_prefix_cache(self) -> bool:
        self.calls.append("clear")
        return True

    def generate(self, batch: Batch) -> Any:
        self.calls.append(batch.inputs)
        return None

    def synchronise(self) -> None:
        self.calls.append("synchronise")


def workloads(*names: str) -> list[Workload]:
    return [Workload((Batch(1, (1, 4), (4,), name),), 0) for name in names]


def test_the_cache_is_emptied_only_before_prompts_are_repeated() -> None:
    backend: Any = Recording()
    work = WindowWork(backend, workloads("a", "b"))
    for _ in range(5):
        work()
    assert backend.calls == ["a", "b", "clear", "a", "b", "clear", "a"]
    assert [batch.inputs for batch, _ in work.generated] == ["a", "b", "a", "b", "a"]


def test_a_pause_follows_each_batch_when_the_device_has_finished_it() -> None:
    backend: Any = Recording()
    work = WindowWork(backend, workloads("a", "b"), lambda: backend.calls.append("pause"))
    work()
    work()
    assert backend.calls == ["a", "synchronise", "pause", "b", "synchronise", "pause"]


def test_random_pauses_differ_and_are_at_most_as_long_as_requested() -> None:
    lengths_s: list[float] = []
    pause = RandomPause(0.1, lengths_s.append)
    for _ in range(200):
        pause()
    assert len(set(lengths_s)) == 200
    assert 0.0 <= min(lengths_s) < 0.02 and 0.08 < max(lengths_s) <= 0.1


def shown_share(pauses_s: list[float], phase_s: float) -> float:
    """Return what a counter that sees 25 of each 100 ms shows of steps of 50 ms, over their energy.

    The steps have two halves of 520 and 280 W, in batches of 20 with a pause at 400 W after each.
    """
    bends: list[tuple[float, float]] = []
    t_s = phase_s
    for pause_s in pauses_s:
        for _ in range(20):
            bends += [(t_s, 520.0), (t_s + 0.025, 280.0)]
            t_s += 0.05
        bends.append((t_s, 400.0))
        t_s += pause_s
    starts = [at_s for at_s, _ in bends]
    n = int((t_s - phase_s) / 0.1)

    def watts(at_s: float) -> float:
        return bends[max(0, bisect_right(starts, at_s) - 1)][1]

    seen = [watts(0.1 * k + 0.075 + 0.0025 * i) for k in range(1, n) for i in range(10)]
    return sum(seen) / len(seen) / 400.0


def test_random_pauses_break_the_beat_of_steps_with_a_part_time_counter() -> None:
    phases_s = [0.005 * k for k in range(10)]
    without = [shown_share([0.0] * 60, phase_s) for phase_s in phases_s]
    pauses_s: list[float] = []
    pause = RandomPause(0.1, pauses_s.append, seed=3)
    for _ in range(60):
        pause()
    broken = [shown_share(pauses_s, phase_s) for phase_s in phases_s]
    assert max(abs(share - 1) for share in without) > 0.25
    assert max(abs(share - 1) for share in broken) < 0.08


def test_each_batch_of_the_warm_up_is_read_and_emptying_the_cache_is_not_timed() -> None:
    backend: Any = Recording()
    times_s: Iterator[float] = itertools.count(0.0, 0.25)

    def clock() -> float:
        backend.calls.append("clock")
        return next(times_s)

    work = WarmUpWork(backend, clock)
    (batch,) = workloads("a")[0].batches
    assert [work(batch), work(batch), work.fastest_s] == [0.25, 0.25, 0.25]
    assert backend.calls == ["clear", "clock", "a", "synchronise", "clock"] * 2


def test_batches_that_depend_on_more_than_lengths_are_refused() -> None:
    """Otherwise other shapes would be compiled in the window, or other padding measured."""
    config = experiment(n=3)
    backend, measured, _ = prepared(config)
    other = Workload(measured.batches[:1], 0)
    with pytest.raises(BackendError, match="batches of the same shapes, found other shapes"):
        FreshPrompts(config, _Fixed(backend, other), measured).warm_up()


class _Fixed:
    """A backend whose `prepare` returns the same workload for all prompts."""

    def __init__(self, backend: Any, workload: Workload) -> None:
        self._backend = backend
        self._workload = workload

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def prepare(self, prompts: object) -> Workload:
        del prompts
        return self._workload
