"""The section `parrot:` of a study file. Imports pydantic alone: every reader of files loads it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, PositiveInt


class ParrotConfig(BaseModel):
    """How the parrot listens and answers. A field that is None leaves its own default."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )

    PRECISIONS: ClassVar[tuple[str, ...]] = ("fp32",)
    DECODINGS: ClassVar[tuple[str, ...]] = ("greedy", "sampling")

    device: Literal["cpu", "gpu"] | None = None
    """Where the parrot sits; on the CPU by default."""
    batch_size: PositiveInt | None = None
    """Prompts answered together; 1 by default."""
    memory: PositiveInt | None = None
    """Tokens back that it remembers; all of them by default."""
    mood: Literal["literal", "playful"] | None = None
    """`playful` says something else where it would only repeat itself."""
