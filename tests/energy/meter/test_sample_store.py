"""Samples are dropped when no window needs them, and thinned out where one is open for long."""

from __future__ import annotations

from llem_energy._meter.sample_store import SampleStore
from llem_energy.sources import Sample


def sample(t_s: float, device: str = "GPU-a") -> Sample:
    return Sample(device=device, t_s=t_s, read_duration_s=0.0001, energy_j=300 * t_s)


def filled(n: int, limit: int = 10**9) -> SampleStore:
    store = SampleStore(limit=limit)
    for i in range(n):
        store.add([sample(i / 10)])
    return store


def test_samples_that_no_window_needs_are_dropped() -> None:
    store = filled(5000)
    assert store.is_full
    store.drop([])
    assert len(store) < 50
    assert not store.is_full


def test_samples_that_arrive_late_are_put_in_order() -> None:
    store = SampleStore()
    for t_s in (2.0, 1.0, 3.0, 2.5):
        store.add([sample(t_s), sample(t_s, "GPU-b")])
    assert [each.t_s for each in store.between(1.0, 2.5)] == [1.0, 1.0, 2.0, 2.0, 2.5, 2.5]
    assert [each.t_s for each in store.latest(3)] == [2.5, 3.0, 3.0]


def test_the_samples_of_an_open_window_stay_with_those_before_its_start() -> None:
    store = filled(5000)
    store.drop([400.0])
    times_s = [each.t_s for each in store.between(0.0, 1000.0)]
    assert times_s[0] <= 397.0 and times_s[-1] == 499.9
    assert len(times_s) == len(filled(5000).between(times_s[0], 1000.0))


def test_a_window_that_is_never_closed_does_not_fill_the_memory() -> None:
    store = SampleStore(limit=2000)
    for i in range(100_000):
        store.add([sample(i / 10)])
        if store.is_full:
            store.drop([5.0])
    assert len(store) < 4000
    kept = store.between(0.0, 1e9)
    near_start = [each for each in kept if 2.0 <= each.t_s <= 8.0]
    assert len(near_start) == 61, "the start of the window keeps all its samples"
    assert len([each for each in kept if each.t_s > 9996.0]) == 39, "so does the present"


def test_samples_of_a_slower_thread_are_put_in_order() -> None:
    store = SampleStore()
    store.add([sample(1.0), sample(1.001, "GPU-b")])
    store.add([sample(2.0)])
    store.add([sample(1.5)])
    assert [each.t_s for each in store.between(0.0, 3.0)] == [1.0, 1.001, 1.5, 2.0]
    assert [each.t_s for each in store.latest(2)] == [1.5, 2.0]
