"""Tokens that a backend computed although no prompt and no output contains them."""

from __future__ import annotations

from llem_energy._backends.protocol import Generation, ReportsPadding, ReportsTokensAfterEnd


def padding_tokens(generation: Generation) -> tuple[int, ...] | None:
    """Return the padding computed with each prompt, as the backend reports it; None if unknown."""
    return generation.padding_tokens() if isinstance(generation, ReportsPadding) else None


def tokens_after_end(generation: Generation) -> tuple[int, ...] | None:
    """Return the steps of each row after its end, as the backend reports them; None if unknown."""
    if isinstance(generation, ReportsTokensAfterEnd):
        return generation.tokens_after_end()
    return None
