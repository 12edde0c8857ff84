"""How many tokens of the window were computed although no prompt and no output contains them.

Their energy is part of every figure. A comparison of two batchings that ignores them compares
waste, not the batchings themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from llem_energy._measurement.input_reading import InputReading
from llem_energy._measurement.raw_measurement import GenerationRecord

_MAX_UNNOTICED_SHARE = 0.1


class ExtraTokens(msgspec.Struct, frozen=True):
    """Extra tokens of the window, repeats included; None if the backend does not report them."""

    n_padding: int | None
    padding_share: float | None
    """Of the tokens that prefill computed: those of prompts that were read, and padding."""
    n_after_end: int | None
    after_end_share: float | None
    """Of the tokens that were generated."""
    n_impossible: int = 0
    """Batches whose reported numbers are impossible."""

    def warnings(self) -> Iterator[str]:
        """Yield what a reader must know before using the figures."""
        if self.n_impossible:
            yield (
                "the backend reported impossible numbers of padding tokens or of tokens after the "
                f"end for {self.n_impossible} batches; expected one number for each prompt, 0 or "
                "more"
            )
        if (self.padding_share or 0) >= _MAX_UNNOTICED_SHARE:
            yield (
                f"{self.padding_share:.0%} of the tokens that prefill computed are padding; its "
                "energy is part of every figure; sorted or smaller batches have less"
            )
        if (self.after_end_share or 0) >= _MAX_UNNOTICED_SHARE:
            yield (
                f"{self.after_end_share:.0%} of the generated tokens were computed after the end "
                "of their own output, until the last output of the batch ended; their energy is "
                "part of every figure"
            )


def extra_tokens(records: Sequence[GenerationRecord], reading: InputReading) -> ExtraTokens:
    """Return the extra tokens of the batches of the window.

    Args:
        records: one for each batch.
        reading: the input tokens of the same batches.
    """
    padding, n_bad_padding = _total(records, lambda record: record.reported_padding_tokens)
    after_end, n_bad_after = _total(records, lambda record: record.reported_tokens_after_end)
    n_output = sum(sum(record.n_tokens) for record in records)
    n_read = None if reading.n_cached is None else reading.n_tokens - reading.n_cached
    return ExtraTokens(
        n_padding=padding,
        padding_share=None if n_read is None else _share(padding, n_read),
        n_after_end=after_end,
        after_end_share=_share(after_end, n_output),
        n_impossible=n_bad_padding + n_bad_after,
    )


def _total(
    records: Sequence[GenerationRecord],
    reported: Callable[[GenerationRecord], tuple[int, ...] | None],
) -> tuple[int | None, int]:
    """Return the sum, or None if it is not known of every batch, and the impossible batches."""
    total: int | None = 0
    n_impossible = 0
    for record in records:
        counts = reported(record)
        is_possible = counts is not None and _is_possible(counts, record.batch.n_prompts)
        n_impossible += counts is not None and not is_possible
        total = None if total is None or not is_possible else total + sum(counts or ())
    return total, n_impossible


def _is_possible(counts: Sequence[int], n_prompts: int) -> bool:
    return len(counts) == n_prompts and all(count >= 0 for count in counts)


def _share(n_extra: int | None, n_others: int) -> float | None:
    n_all = (n_extra or 0) + n_others
    return None if n_extra is None or n_all == 0 else n_extra / n_all
