"""The section `scripted:` of a study file: the choices of the example."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict


class ScriptedConfig(BaseModel):
    """Options of the scripted backend, named like those of the backend `pytorch`."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )

    DECODINGS: ClassVar[tuple[str, ...]] = ("greedy",)

    batch_size: Literal[1, 4, 16, 64] | None = None
    """Prompts answered together; 1 by default."""
    attn_implementation: Literal["eager", "sdpa"] | None = None
    """`sdpa` by default."""
    torch_compile: bool | None = None
    """Off by default."""
    cache_implementation: Literal["dynamic", "static"] | None = None
    """`dynamic` by default."""
    batching: Literal["static", "sorted"] | None = None
    """`static` by default."""
