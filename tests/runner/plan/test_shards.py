"""How a study is cut into shards: random parts of cycles, and which cuts are refused."""

from __future__ import annotations

from collections import Counter

import pytest
from fakes.studies import study
from hypothesis import given, settings
from hypothesis import strategies as st

from llem_config import StudyConfig
from llem_runner import StudyError
from llem_runner.plan import schedule
from llem_runner.shards import Shard, plan_shards


def shuffled(n_points: int, n_cycles: int, seed: int = 42) -> StudyConfig:
    return study(
        range(1, n_points + 1), n_cycles=n_cycles, cycle_order="shuffled", shuffle_seed=seed
    )


def points_of(config: StudyConfig, shards: tuple[Shard, ...]) -> list[frozenset[str]]:
    points = {run.index: run.config_hash for run in schedule(config)}
    return [frozenset(points[index] for index in shard.runs) for shard in shards]


@given(
    n_points=st.integers(10, 60),
    n_cycles=st.integers(2, 5),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
@settings(max_examples=30, deadline=None)
def test_every_run_is_in_one_shard_of_its_cycle_in_the_order_of_the_schedule(
    n_points: int, n_cycles: int, seed: int, data: st.DataObject
) -> None:
    config = shuffled(n_points, n_cycles, seed)
    n = data.draw(st.integers(1, n_points // 5))
    try:
        shards = plan_shards(config, n=n)
    except StudyError as error:  # two cycles of two blocks may have the same blocks by chance
        assert n_cycles == 2
        assert "that no shard compares" in str(error)
        return
    cycles = {run.index: run.cycle for run in schedule(config)}
    assert [shard.number for shard in shards] == [*range(1, n * n_cycles + 1)]
    assert Counter(index for shard in shards for index in shard.runs) == Counter([*cycles])
    for shard in shards:
        assert list(shard.runs) == sorted(shard.runs)
        assert {cycles[index] for index in shard.runs} == {shard.cycle}
    sizes = {len(shard.runs) for shard in shards}
    assert max(sizes) - min(sizes) <= 1


def test_each_cycle_is_cut_anew_and_another_cycle_changes_no_earlier_cut() -> None:
    short, long = shuffled(40, 4), shuffled(40, 5)
    before = points_of(short, plan_shards(short, n=2))
    assert points_of(long, plan_shards(long, n=2))[:8] == before
    assert len(set(before)) == 8
    other = shuffled(40, 4, seed=43)
    assert points_of(other, plan_shards(other, n=2)) != before


def test_a_shard_is_a_cycle_unless_a_time_limit_is_too_short_for_it() -> None:
    config = shuffled(100, 3)
    assert [len(shard.runs) for shard in plan_shards(config)] == [100, 100, 100]
    assert len(plan_shards(config, limit_s=3600, seconds_per_run=28)) == 3
    # 100 runs of 29 s exceed 0.8 x 3600 s; 50 do not.
    assert len(plan_shards(config, limit_s=3600, seconds_per_run=29)) == 6
    assert len(plan_shards(config, limit_s=3600)) == 3  # the duration of a run is not known


def test_the_gaps_within_a_shard_count() -> None:
    config = study(range(1, 101), n_cycles=3, cycle_order="shuffled", config_gap_seconds=29.0)
    assert len(plan_shards(config, limit_s=3600, seconds_per_run=1)) == 6


def refusal(config: StudyConfig, **limits: float) -> str:
    with pytest.raises(StudyError) as error:
        plan_shards(config, **limits)  # type: ignore[arg-type]
    return str(error.value)


def test_few_points_in_a_shard_are_refused_unless_the_number_of_shards_is_given() -> None:
    config = shuffled(60, 5)
    message = refusal(config, limit_s=100, seconds_per_run=5)
    assert "shards: 4 shards of each cycle would have 15 points each" in message
    assert "at least 6% of the precision" in message
    assert "--shards 4" in message
    assert len(plan_shards(config, n=4)) == 20
    assert len(plan_shards(config, n=3)) == 15  # 20 points each
    assert len(plan_shards(config, limit_s=100, seconds_per_run=4)) == 15
    assert "at least 5 points in a shard, found 4 (60 points in 13 shards)" in refusal(config, n=13)


def test_a_whole_cycle_may_have_few_points() -> None:
    assert len(plan_shards(shuffled(2, 3))) == 3
    assert len(plan_shards(study((1,), n_cycles=3))) == 3  # one point has no order


@pytest.mark.parametrize("order", ["sequential", "interleaved"])
def test_other_orders_are_refused(order: str) -> None:
    message = refusal(study((1, 2), n_cycles=3, cycle_order=order))
    assert (
        f"execution.cycle_order: expected shuffled for a study that is divided, found {order}"
        in message
    )


def test_one_cycle_and_impossible_numbers_are_refused() -> None:
    assert "expected at least 2 cycles, found 1" in refusal(shuffled(40, 1), n=2)
    assert len(plan_shards(shuffled(40, 1))) == 1
    assert "expected 1 to 40 shards of each cycle" in refusal(shuffled(40, 3), n=41)
    assert "expected 1 to 40 shards of each cycle" in refusal(shuffled(40, 3), n=0)
    message = refusal(shuffled(40, 3), limit_s=100, seconds_per_run=81)
    assert "a run takes about 81 s, more than the 80 s" in message


def test_cycles_with_the_same_blocks_are_refused() -> None:
    # With two cycles of two blocks of five, one seed in 126 cuts both alike.
    messages = []
    for seed in range(2000):
        config = shuffled(10, 2, seed)
        try:
            plan_shards(config, n=2)
        except StudyError as error:
            messages.append(str(error))
            break
    assert messages, "no seed cut both cycles alike"
    assert "that no shard compares with the others" in messages[0]
