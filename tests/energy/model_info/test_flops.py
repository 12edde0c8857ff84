"""The operations of an answer, against a count by hand (RES-12)."""

from __future__ import annotations

import pytest

from llem_energy._model_info.flops import Decoder, answer_flops, steps_positions

# Two layers of 5 x 4 weights, and an output layer of 4 x 10 weights; heads of width 3 in all.
SMALL = Decoder(
    n_linear_weights=2 * 20 + 40, n_output_weights=40, attention_width=3, windows=(None, 6)
)


def test_prefill_reads_the_prompt_and_gives_one_token() -> None:
    flops = answer_flops(SMALL, 5, 1)
    matrices = 2 * (40 * 5 + 40)
    attention = 2 * 4 * 3 * 5 * 5
    assert (flops.prefill, flops.decode) == (matrices + attention, 0)


def test_decode_is_one_step_for_each_further_token() -> None:
    flops = answer_flops(SMALL, 5, 4)
    matrices = 2 * 80 * 3
    attention = 4 * 3 * ((6 + 7 + 8) + (6 + 6 + 6))
    assert flops.decode == matrices + attention
    assert (flops.prefill or 0) + (flops.decode or 0) == flops.total


def test_tokens_from_a_cache_cost_only_the_attention_to_them() -> None:
    read, cached = answer_flops(SMALL, 5, 4), answer_flops(SMALL, 5, 4, 3)
    assert cached.prefill == 2 * (40 * 2 + 40) + 2 * 4 * 3 * 2 * 5
    assert cached.decode == read.decode


def test_the_last_token_of_a_prompt_is_always_read() -> None:
    assert answer_flops(SMALL, 5, 4, 5) == answer_flops(SMALL, 5, 4, 4)


@pytest.mark.parametrize("window", [None, 1, 3, 4, 7, 100])
@pytest.mark.parametrize("n_steps", [0, 1, 5])
def test_the_positions_of_all_steps_are_their_sum(n_steps: int, window: int | None) -> None:
    reach = float("inf") if window is None else window
    expected = sum(min(n, reach) for n in range(4, 4 + n_steps))
    assert steps_positions(3, n_steps, window) == expected
