"""Where the prompts of an experiment come from, and how long synthetic ones are."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from llem_config._spec.capabilities import INCOMPATIBLE
from llem_config._spec.pytorch import STRICT


class InputTokensConfig(BaseModel):
    """How long synthetic prompts are, each length drawn with the experiment's seed."""

    model_config = STRICT

    distribution: Literal["uniform", "lognormal"]
    min: PositiveInt = 1
    max: PositiveInt | None = None
    """`max_input_tokens` by default. What is drawn outside of min and max becomes the nearer."""
    mean: PositiveFloat | None = None
    """Tokens, before min and max; of lognormal only, like `sd`."""
    sd: PositiveFloat | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        shaped = [name for name in ("mean", "sd") if getattr(self, name) is not None]
        reason = None
        if self.distribution == "lognormal" and len(shaped) < 2:
            reason = "lengths of distribution lognormal need mean and sd"
        elif self.distribution == "uniform" and shaped:
            reason = f"lengths of distribution uniform have min and max, no {' and '.join(shaped)}"
        elif self.max is not None and self.min > self.max:
            reason = f"min {self.min} is above max {self.max}"
        if reason is not None:
            raise PydanticCustomError(INCOMPATIBLE, "{why}", {"why": reason})
        return self


class DatasetConfig(BaseModel):
    """The prompts: `synthetic`, `aienergyscore`, a local file or folder, or a hub id."""

    model_config = STRICT

    source: Annotated[str, Field(min_length=1)] = "synthetic"
    column: str | None = None
    """The column that holds the prompt; found by name if not given."""
    subset: str | None = None
    split: str | None = None
    """`train`, or the only one, if not given."""
    input_tokens: InputTokensConfig | None = None
    """Lengths of synthetic prompts; without it each has `max_input_tokens`."""

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        read = ("column", "subset", "split")
        idle = read if self.source == "synthetic" else ("input_tokens",)
        given = [name for name in idle if getattr(self, name) is not None]
        if given:
            raise PydanticCustomError(
                INCOMPATIBLE,
                "{names} has no effect on the data set {source}",
                {"names": " and ".join(given), "source": self.source, "at": given[0]},
            )
        return self

    def conflict(self, max_input_tokens: int) -> str | None:
        """Return why its lengths do not fit below `max_input_tokens`; None if they do."""
        lengths = self.input_tokens
        if lengths is None or max(lengths.min, lengths.max or 1) <= max_input_tokens:
            return None
        longest = max(lengths.min, lengths.max or 1)
        return f"dataset.input_tokens {longest} is above max_input_tokens {max_input_tokens}"


def _as_mapping(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


Dataset = Annotated[
    DatasetConfig, BeforeValidator(_as_mapping, json_schema_input_type=str | DatasetConfig)
]
"""A source alone stands for a whole section."""
