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
    """`uniform`: from `min` to `max`; `lognormal`: around `mean` with the standard deviation `sd`,
    both of which it needs.

    Energy: lengths that vary need padding in a batch, unless batches are sorted by length.
    """
    min: Count = 1
    """Minimum length in tokens; shorter lengths are raised to it.

    Energy: longer prompts cost more in prefill and in each decode step.
    """
    max: Count | None = None
    """Maximum length in tokens; longer lengths are lowered to it. By default `max_input_tokens`.

    Energy: longer prompts cost more in prefill and in each decode step.
    """
    mean: MeanCount | None = None
    """Mean length in tokens before `min` and `max` apply. `lognormal` needs it, `uniform` has none.

    Energy: longer prompts cost more in prefill and in each decode step.
    """
    sd: MeanCount | None = None
    """Standard deviation of the length in tokens before `min` and `max` apply. `lognormal` needs it,
    `uniform` has none.

    Energy: lengths that vary need padding in a batch, unless batches are sorted by length.
    """

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
    """`synthetic` (random token ids, no tokenizer), `aienergyscore`, a local file (.jsonl, .csv,
    .parquet) or folder, or the hub id of a data set.

    Energy: power depends on the values, so random tokens may need other joules than text. Text also
    decides the lengths of prompts.
    """
    column: str | None = None
    """The column with the prompt. By default the only one of the usual names, such as `prompt`,
    `text`, `question` or `messages`; if there are several, it must be named.

    Energy: only through the prompts that it selects.
    """
    subset: str | None = None
    """The subset (configuration) of a data set on the hub; by default the only one, or the one
    named `default`.

    Energy: only through the prompts that it selects.
    """
    split: str | None = None
    """The split of a data set; by default `train`, or the only one.

    Energy: only through the prompts that it selects.
    """
    chat_template: Annotated[
        str | None, Field(min_length=1), PathField(CHAT_TEMPLATES, is_always_path=True)
    ] = None
    """`auto`: the template of the model's tokenizer; `none`: prompts are read as they are; or a
    file with a Jinja template. The default is `auto` for messages and `none` for text.

    Energy: a template adds tokens to each prompt. It is applied before the measured window.
    """
    input_tokens: InputTokensConfig | None = None
    """Lengths of synthetic prompts, drawn with the seed; by default each has `max_input_tokens`
    tokens."""

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
