"""The type of a prompt."""

from __future__ import annotations

Prompt = str | tuple[int, ...]
"""Text, or token ids, which need no tokenizer."""
