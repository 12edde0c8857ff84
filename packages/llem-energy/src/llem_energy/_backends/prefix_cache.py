"""The cache of earlier prompts that a backend may have: what it reports, and how it is emptied."""

from __future__ import annotations

from llem_energy._backends.protocol import (
    Backend,
    ClearsPrefixCache,
    Generation,
    ReportsCachedTokens,
)


def clear_prefix_cache(backend: Backend) -> bool:
    """Empty the prefix cache; return False if the backend cannot do so, or has no such cache."""
    return isinstance(backend, ClearsPrefixCache) and backend.clear_prefix_cache()


def cached_input_tokens(generation: Generation) -> tuple[int, ...] | None:
    """Return the cached tokens of each prompt as the backend reports them; None if unknown."""
    if isinstance(generation, ReportsCachedTokens):
        return generation.cached_input_tokens()
    return None
