"""How many input tokens of the window were read, and how many came from a cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from llem_energy._estimation.figures import Figure
from llem_energy._measurement.raw_measurement import GenerationRecord

_MAX_UNNOTICED_SHARE = 0.01
NOT_REPORTED = (
    "the backend does not report how many input tokens it took from a cache; all count as read"
)


class InputReading(msgspec.Struct, frozen=True):
    """The input tokens of the window, repeats included."""

    n_tokens: int
    n_cached: int | None
    """None if the backend does not report it."""
    n_impossible: int = 0
    """Batches whose reported numbers are impossible."""

    def per_token(self, total: Figure) -> Figure:
        """Return the energy for each token that was read.

        Args:
            total: of the window, in joules.
        """
        if self.n_cached is None:
            per_token = total.per(self.n_tokens, "input tokens")
            if per_token.value is None:
                return per_token
            return Figure(per_token.value, per_token.quality.with_reasons([NOT_REPORTED]))
        what = "input tokens"
        if self.n_cached:
            what = f"input tokens to read: all {self.n_tokens} came from the prefix cache"
        return total.per(self.n_tokens - self.n_cached, what)

    def warnings(self) -> Iterator[str]:
        """Yield what a reader must know before using the figures."""
        if self.n_impossible:
            yield (
                f"the backend reported impossible numbers of cached input tokens for "
                f"{self.n_impossible} batches; expected one number for each prompt, from 0 to its "
                "length"
            )
        share = (self.n_cached or 0) / max(self.n_tokens, 1)
        if share >= _MAX_UNNOTICED_SHARE:
            yield (
                f"{share:.1%} of the input tokens ({self.n_cached} of {self.n_tokens}) came from "
                "the prefix cache of the backend and were not read; energy and latency are those "
                "of a warm cache"
            )


def input_reading(records: Sequence[GenerationRecord]) -> InputReading:
    """Return the input tokens of the batches of the window."""
    cached = [record.cached_tokens for record in records]
    known = [counts for counts in cached if counts is not None]
    return InputReading(
        n_tokens=sum(sum(record.batch.lengths) for record in records),
        n_cached=sum(map(sum, known)) if len(known) == len(cached) else None,
        n_impossible=sum(
            counts is None and record.reported_cached_tokens is not None
            for record, counts in zip(records, cached, strict=True)
        ),
    )
