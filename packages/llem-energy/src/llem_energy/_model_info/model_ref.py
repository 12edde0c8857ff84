"""Names one version of a model."""

from __future__ import annotations

import msgspec


class ModelRef(msgspec.Struct, frozen=True):
    """A model that an experiment reads: a hub id, a local folder or `builtin:NAME`."""

    name: str
    revision: str | None = None
    """Of a hub id; None is the main branch."""
    variant: str | None = None
    """Of its files, if the experiment requests one: `fp16` loads `model.fp16.safetensors`."""
