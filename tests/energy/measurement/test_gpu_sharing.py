"""Which processes on a GPU are those of others, with ids of this machine and of another."""

from __future__ import annotations

from collections.abc import Collection

from llem_energy._measurement.gpu_sharing import (
    GpuSharing,
    TenantLists,
    gpu_sharing,
    is_any_shared,
)
from llem_energy._sources.gpu_tenants import GpuTenants

GPU = "GPU-a"


def sharing(
    at_start: Collection[int] | None,
    before_window: Collection[int],
    after: Collection[int],
    *,
    own: Collection[int] = (),
    seen: Collection[int] = (),
    is_used: bool = True,
    held_bytes: int | None = 0,
) -> GpuSharing | None:
    start = GpuTenants(None if at_start is None else frozenset(at_start), held_bytes)
    lists = TenantLists(
        {GPU: start},
        {GPU: GpuTenants(frozenset(before_window))},
        {GPU: GpuTenants(frozenset(after))},
        {GPU: seen},
    )
    return gpu_sharing(lists, own_pids=own, used=[GPU] if is_used else []).get(GPU)


def test_processes_that_come_onto_a_gpu_during_a_run_are_newcomers() -> None:
    assert sharing({7}, {1, 7}, {1, 7, 8}, own={1}) == GpuSharing(1, 1)


def test_a_process_that_came_and_went_between_two_lists_is_a_newcomer() -> None:
    assert sharing(set(), {1}, {1}, own={1}, seen={1, 8}) == GpuSharing(0, 1, unexplained_bytes=0)


def test_a_process_that_the_backend_names_later_was_no_stranger_at_the_start() -> None:
    assert sharing({7}, {1, 7}, {1, 7}, own={1, 7}) == GpuSharing(0, 0)


def test_an_own_process_with_the_id_of_another_number_space_is_no_stranger() -> None:
    alone = sharing(set(), {4711}, {4711}, own={1}, seen={4711})
    assert alone == GpuSharing(0, 0, unexplained_bytes=0)


def test_strangers_are_found_in_another_number_space() -> None:
    assert sharing({9}, {9, 4711}, {9, 4711}, own={1}) == GpuSharing(1, 0)
    later = sharing(set(), {4711}, {4711, 9}, own={1})
    assert later == GpuSharing(0, 1, unexplained_bytes=0)


def test_who_came_with_the_run_cannot_be_told_in_another_number_space() -> None:
    both = sharing(set(), {4711, 9}, {4711, 9}, own={1})
    assert both == GpuSharing(0, 0, n_unclear=2, unexplained_bytes=0)


def test_a_driver_that_hides_the_run_may_hide_others() -> None:
    hidden = sharing(set(), set(), set(), own={1})
    assert hidden == GpuSharing(0, 0, is_own_hidden=True, unexplained_bytes=0)


def test_on_a_gpu_that_the_run_does_not_use_everybody_is_a_stranger() -> None:
    unused = sharing(set(), {4711}, {4711}, own={1}, is_used=False)
    assert unused == GpuSharing(0, 1, unexplained_bytes=0)


def test_a_driver_without_a_list_says_nothing() -> None:
    assert sharing(None, {1}, {1}, own={1}) is None


def test_memory_is_unexplained_only_if_no_process_was_listed() -> None:
    used = sharing(set(), {1}, {1}, own={1}, held_bytes=5)
    listed = sharing({9}, {1, 9}, {1, 9}, own={1}, held_bytes=5)
    assert (used and used.unexplained_bytes, listed and listed.unexplained_bytes) == (5, None)


def test_a_neighbour_on_another_gpu_does_not_share_that_of_the_run() -> None:
    both = {GPU: GpuSharing(0, 0), "GPU-b": GpuSharing(1, 0)}
    assert not is_any_shared(both, [GPU])
    assert is_any_shared(both, [GPU, "GPU-b"])
    assert not is_any_shared({}, [GPU])  # its driver lists nothing
