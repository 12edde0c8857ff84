"""Padding and tokens after an end are counted exactly, from the batches that were run (CM-17..22)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from energy.models import text_experiment
from energy.parts import loaded

from llem_energy import measure
from llem_energy._backends.extra_tokens import padding_tokens, tokens_after_end
from llem_energy._measurement.extra_tokens import extra_tokens
from llem_energy._measurement.input_reading import input_reading
from llem_energy._measurement.raw_measurement import GenerationRecord
from llem_energy.backends import Batch, Prompt

ENDING = {
    "decoder": {"ignore_eos": False},
    "energy": {"min_window_seconds": 0.0, "sources": ["none"]},
}


@pytest.mark.parametrize("batching", ["static", "sorted"])
def test_the_counts_equal_what_went_through_the_model(text_model: Any, batching: str) -> None:
    """A hook on the embedding sees every position that is computed, in prefill and decode."""
    config = text_experiment(
        text_model, **ENDING, pytorch={"device": "cpu", "batch_size": 3, "batching": batching}
    )
    backend = loaded(config)
    prompts: list[Prompt] = list(text_model.texts)
    workload = backend.prepare(prompts)
    computed: Counter[str] = Counter()

    def count(_: Any, args: Any, __: Any) -> None:
        n_rows, width = args[0].shape
        computed["decode" if width == 1 else "prefill"] += n_rows * width

    for batch in workload.batches:
        assert min(batch.lengths) > 1  # so that a width of 1 is a step of decode
    handle = backend._model.get_input_embeddings().register_forward_hook(count)
    n_prompts = n_padding = n_outputs = n_after = 0
    for batch in workload.batches:
        generation = backend.generate(batch)
        n_prompts += sum(batch.lengths)
        n_padding += sum(padding_tokens(generation) or ())
        n_outputs += sum(generation.n_tokens())
        n_after += sum(tokens_after_end(generation) or ())
    handle.remove()
    assert n_padding > 0
    assert n_after > 0
    assert computed["prefill"] == n_prompts + n_padding
    # Prefill chooses the first token of each output.
    assert computed["decode"] == n_outputs + n_after - len(text_model.texts)


def test_a_result_has_the_counts_of_all_passes_and_a_warning(text_model: Any) -> None:
    result = measure(
        text_experiment(text_model, **ENDING, pytorch={"device": "cpu", "batch_size": 7})
    )
    lengths = [2 + 3 * (i % 4) for i in range(7)]
    n_padding = sum(max(lengths) - n for n in lengths)
    assert result.input_tokens == sum(lengths) * result.n_repeats
    assert result.n_padding_tokens == n_padding * result.n_repeats
    assert result.padding_share == pytest.approx(n_padding / (7 * max(lengths)))
    assert result.n_tokens_after_end is not None
    n_steps, rest = divmod(result.output_tokens + result.n_tokens_after_end, 7 * result.n_repeats)
    assert rest == 0
    assert 1 < n_steps <= 12
    assert any("tokens that prefill computed are padding" in w for w in result.measurement_warnings)
    assert any("after the end" in warning for warning in result.measurement_warnings)


def test_without_padding_and_with_forced_lengths_the_counts_are_zero(text_model: Any) -> None:
    result = measure(
        text_experiment(
            text_model, energy=ENDING["energy"], pytorch={"device": "cpu", "batch_size": 1}
        )
    )
    assert (result.n_padding_tokens, result.padding_share) == (0, 0)
    assert result.n_tokens_after_end == 0
    assert not any("padding" in warning for warning in result.measurement_warnings)


@pytest.mark.parametrize(
    "options", [{"batch_size": 2, "num_beams": 2}, {"batch_size": 1, "prompt_lookup_num_tokens": 2}]
)
def test_steps_after_an_end_are_unknown_if_rows_and_steps_are_no_outputs(
    text_model: Any, options: dict[str, int]
) -> None:
    result = measure(text_experiment(text_model, **ENDING, pytorch={"device": "cpu"} | options))
    assert result.n_tokens_after_end is None
    assert result.n_padding_tokens is not None


@pytest.mark.parametrize("counts", [(1,), (1, 1, 1), (1, -1)])
def test_impossible_numbers_are_unknown_and_a_warning(counts: tuple[int, ...]) -> None:
    batch = Batch(2, (2, 3), (2, 3), None)
    good = GenerationRecord(batch, (4, 4), None, (0, 0), (1, 0), (0, 0))
    bad = GenerationRecord(batch, (4, 4), None, (0, 0), counts, (0, 0))
    records = [good, bad]
    extra = extra_tokens(records, input_reading(records))
    assert (extra.n_padding, extra.padding_share) == (None, None)
    assert extra.n_after_end == 0
    (warning,) = extra.warnings()
    assert "for 1 batches" in warning
    assert extra_tokens([good], input_reading([good])).n_padding == 1


def test_a_backend_that_reports_nothing_has_unknown_counts() -> None:
    batch = Batch(2, (2, 3), (2, 3), None)
    record = GenerationRecord(batch, (4, 4), None)
    extra = extra_tokens([record], input_reading([record]))
    assert (extra.n_padding, extra.padding_share, extra.n_after_end) == (None, None, None)
    assert not [*extra.warnings()]
