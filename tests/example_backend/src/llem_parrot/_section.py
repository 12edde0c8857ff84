"""The section `parrot:` of a study file; imports only pydantic, since llem_config loads it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, PositiveInt


class ParrotConfig(BaseModel):
    """Options of the parrot. None means the default of the parrot."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )

    PRECISIONS: ClassVar[tuple[str, ...]] = ("fp32",)
    DECODINGS: ClassVar[tuple[str, ...]] = ("greedy", "sampling")

    device: Literal["cpu", "gpu"] | None = None
    """Where the parrot runs; on the CPU by default."""
    batch_size: PositiveInt | None = None
    """Prompts answered together; 1 by default."""
    memory: PositiveInt | None = None
    """The number of last tokens that it remembers; all by default."""
    mood: Literal["literal", "playful"] | None = None
    """`playful` chooses a new token instead of repeating the last token."""
    prefix_cache: Literal["none", "clearable", "permanent"] | None = None
    """Whether it skips the beginnings of prompts that it has read before; `none` by default."""
