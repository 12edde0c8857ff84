"""How the next token is chosen, and presets for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from llem_config._spec.capabilities import INCOMPATIBLE
from llem_config._spec.limits import Count, Factor
from llem_config._spec.strict import STRICT

PRESETS: dict[str, dict[str, Any]] = {
    "deterministic": {"temperature": 0.0},
    "standard": {"temperature": 1.0},
    "creative": {"temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.1},
    "factual": {"temperature": 0.3, "top_k": 10},
}
"""The values of each decoder preset; they replace the preset before hashing."""

SAMPLING_ONLY = ("top_k", "top_p", "min_p")
"""The decoder's fields that greedy decoding ignores."""


class DecoderConfig(BaseModel):
    """How the next token is chosen; greedy by default."""

    model_config = STRICT

    preset: Literal["deterministic", "standard", "creative", "factual"] | None = Field(
        None, exclude=True, repr=False
    )
    """A shorthand for several fields, none by default: `deterministic` (temperature 0), `standard` (temperature 1),
    `creative` (temperature 0.8, top_p 0.9, repetition_penalty 1.1) or `factual` (temperature 0.3,
    top_k 10). Fields beside it win. The preset is replaced by its fields before hashing.

    Energy: that of the fields it stands for.
    """
    temperature: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """Number by which the logits are divided, no unit; 0 is greedy decoding. The default is 1.0 if
    `do_sample` is true or `top_k`, `top_p` or `min_p` is set, else 0.

    Energy: above 0, every step also samples, which is little beside the model.
    """
    top_k: Count | None = None
    """Sample from this number of most probable tokens; without it, from all.

    Energy: a selection over the vocabulary per step, little beside the model.
    """
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Sample from the most probable tokens whose probabilities add up to this share; without it,
    from all.

    Energy: a sort of the vocabulary per step, little beside a large model.
    """
    min_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Sample from tokens with at least this share of the highest probability; without it, from all.

    Energy: a comparison over the vocabulary per step, little beside the model.
    """
    repetition_penalty: Factor | None = None
    """Factor that makes tokens that already occurred less probable if it is above 1, no unit;
    without it, none.

    Energy: one more operation over the vocabulary per step, little beside the model.
    """
    do_sample: bool = False
    """Whether the next token is sampled. By default it is if the temperature is above 0.

    Energy: sampling costs little beside the model, but other tokens are generated, and with
    `ignore_eos: false` outputs have other lengths.
    """
    min_new_tokens: Count | None = None
    """Minimum length of an output in tokens; no minimum by default. It has an effect only with
    `ignore_eos: false`.

    Energy: a longer output takes more steps.
    """
    ignore_eos: bool = True
    """Whether generation continues after the end token, so that all outputs have the same length
    and points are comparable.

    Energy: with `false`, outputs end at their end token. Points then do different work, so compare
    joules per token, not totals.
    """

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, data: Any) -> Any:
        """Replace `preset` by its fields, and add the fields that follow from others."""
        if not isinstance(data, Mapping):
            return data
        fields = dict(data)
        preset = fields.get("preset")
        if isinstance(preset, str) and preset in PRESETS:
            del fields["preset"]  # an invalid preset stays, so that validation reports it
            fields = {**PRESETS[preset], **fields}
        do_sample = fields.get("do_sample")
        implied = any(fields.get(name) is not None for name in SAMPLING_ONLY)
        if "temperature" not in fields and (do_sample or (do_sample is None and implied)):
            fields["temperature"] = 1.0
        temperature = fields.get("temperature", 0.0)
        if "do_sample" not in fields and isinstance(temperature, int | float):
            fields["do_sample"] = temperature > 0
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.do_sample != (self.temperature > 0):
            value = "true" if self.do_sample else "false"
            raise PydanticCustomError(
                INCOMPATIBLE,
                "do_sample: {value} contradicts temperature {temperature}",
                {"value": value, "temperature": self.temperature, "at": "do_sample"},
            )
        return self
