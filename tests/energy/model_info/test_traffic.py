"""The bytes of prefill and decode, against a count by hand."""

from __future__ import annotations

import msgspec
import pytest

from llem_energy._model_info.traffic import (
    Row,
    Traffic,
    confidence_of,
    decode_bytes,
    prefill_bytes,
)

SMALL = Traffic(step_bytes=1000, cache_bytes=8, windows=(None, 6), activation_bytes=50)
EXPERTS = msgspec.structs.replace(SMALL, expert_bytes=800, n_experts=8, n_experts_per_token=2)


def test_each_step_reads_the_weights_once_and_the_cache_of_every_row() -> None:
    cache = 8 * ((6 + 7 + 8) + (6 + 6 + 6))
    assert decode_bytes(SMALL, [Row(5, 4)]) == 3 * 1000 + cache
    assert decode_bytes(SMALL, [Row(5, 4), Row(5, 4)]) == 3 * 1000 + 2 * cache


def test_a_row_that_is_complete_leaves_the_batch() -> None:
    both = decode_bytes(SMALL, [Row(5, 4), Row(5, 2)])
    assert both == 3 * 1000 + 8 * ((6 + 7 + 8) + (6 + 6 + 6)) + 8 * (6 + 6)


def test_one_token_needs_no_step() -> None:
    assert decode_bytes(SMALL, [Row(5, 1)]) == 0


def test_prefill_reads_the_weights_once_and_writes_the_cache() -> None:
    assert prefill_bytes(SMALL, [Row(5, 4), Row(3, 4)]) == 1000 + 8 * (50 + 2 * 8)


def test_positions_from_a_cache_are_read_and_not_computed() -> None:
    assert prefill_bytes(SMALL, [Row(5, 4, 3)]) == 1000 + 2 * (50 + 2 * 8) + 3 * 2 * 8
    assert prefill_bytes(SMALL, [Row(5, 4, 5)]) == prefill_bytes(SMALL, [Row(5, 4, 4)])


def test_a_step_of_one_row_reads_the_experts_of_one_token() -> None:
    dense, sparse = (decode_bytes(each, [Row(5, 2)]) for each in (SMALL, EXPERTS))
    assert sparse - dense == pytest.approx(800 * 2 / 8)


def test_more_rows_read_more_experts_but_never_more_than_all() -> None:
    read = [
        decode_bytes(EXPERTS, [Row(5, 2)] * n) - decode_bytes(SMALL, [Row(5, 2)] * n)
        for n in (1, 2, 64)
    ]
    assert read[1] == pytest.approx(800 * (1 - (6 / 8) ** 2))
    assert read == sorted(read)
    assert read[-1] == pytest.approx(800)
    assert read[-1] <= 800


def test_activations_and_experts_make_the_count_rough() -> None:
    assert confidence_of(SMALL, "prefill") == "low"
    assert confidence_of(SMALL, "decode") == "medium"
    assert confidence_of(EXPERTS, "decode") == "low"
