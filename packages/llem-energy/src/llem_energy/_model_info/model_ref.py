"""Names one version of a model."""

from __future__ import annotations

import msgspec


class ModelRef(msgspec.Struct, frozen=True):
    """A model that an experiment reads: a hub id, a local folder or `builtin:NAME`."""

    name: str
    revision: str | None = None
    """Of a hub id; None is the main branch."""
