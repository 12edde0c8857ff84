"""What a prompt is."""

from __future__ import annotations

Prompt = str | tuple[int, ...]
"""Text, or token ids where no tokenizer is needed."""
