"""The source of the prompts of an experiment, and the lengths of synthetic prompts."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from llem_config._spec.capabilities import INCOMPATIBLE
from llem_config._spec.limits import Count, MeanCount
from llem_config._spec.path_field import PathField
from llem_config._spec.strict import STRICT

CHAT_TEMPLATES = frozenset({"auto", "none"})
"""The values of `chat_template` that are no file."""


class InputTokensConfig(BaseModel):
    """The lengths of synthetic prompts in tokens, drawn with the seed of the experiment."""

    model_config = STRICT

    distribution: Literal["uniform", "lognormal"]
    """`uniform` needs no other field; `lognormal` needs `mean` and `sd`."""
    min: Count = 1
    """Shorter lengths become this one."""
    max: Count | None = None
    """Longer lengths become this one; `max_input_tokens` by default."""
    mean: MeanCount | None = None
    """Mean of a lognormal distribution, before `min` and `max` apply."""
    sd: MeanCount | None = None
    """Standard deviation of a lognormal distribution, before `min` and `max` apply."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        moments = [name for name in ("mean", "sd") if getattr(self, name) is not None]
        reason = None
        if self.distribution == "lognormal" and len(moments) < 2:
            reason = "the distribution lognormal needs mean and sd"
        elif self.distribution == "uniform" and moments:
            reason = f"the distribution uniform has min and max, but no {' or '.join(moments)}"
        elif self.max is not None and self.min > self.max:
            reason = f"min {self.min} is above max {self.max}"
        if reason is not None:
            raise PydanticCustomError(INCOMPATIBLE, "{why}", {"why": reason})
        return self


class DatasetConfig(BaseModel):
    """The source of the prompts."""

    model_config = STRICT

    source: Annotated[str, Field(min_length=1), PathField(frozenset({"synthetic"}))] = "synthetic"
    """`synthetic`, `aienergyscore`, a local file or folder, or a hub id."""
    column: str | None = None
    """The column with the prompt; by default, the first column with a usual name."""
    subset: str | None = None
    """The subset of a data set on the hub."""
    split: str | None = None
    """The split of a data set; by default `train`, or the only one."""
    chat_template: Annotated[
        str | None, Field(min_length=1), PathField(CHAT_TEMPLATES, is_always_path=True)
    ] = None
    """`auto`: the template of the model's tokenizer; `none`: prompts are read as they are; or a
    file with a Jinja template. The default is `auto` for messages and `none` for text."""
    input_tokens: InputTokensConfig | None = None
    """Lengths of synthetic prompts; by default each has `max_input_tokens`."""

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        of_files = ("column", "subset", "split", "chat_template")
        without_effect = of_files if self.source == "synthetic" else ("input_tokens",)
        names = [name for name in without_effect if getattr(self, name) is not None]
        if names:
            verb = "has" if len(names) == 1 else "have"
            raise PydanticCustomError(
                INCOMPATIBLE,
                "{names} {verb} no effect on the data set {source}",
                {"names": " and ".join(names), "verb": verb, "source": self.source, "at": names[0]},
            )
        return self

    def conflict(self, max_input_tokens: int) -> str | None:
        """Return why the lengths of its prompts exceed `max_input_tokens`; None if they do not."""
        lengths = self.input_tokens
        n_tokens = max(lengths.min, lengths.max or 1) if lengths is not None else 0
        if n_tokens <= max_input_tokens:
            return None
        return f"dataset.input_tokens {n_tokens} is above max_input_tokens {max_input_tokens}"


def _as_mapping(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


Dataset = Annotated[
    DatasetConfig, BeforeValidator(_as_mapping, json_schema_input_type=str | DatasetConfig)
]
"""A text is a shorthand for a section with only this source."""
