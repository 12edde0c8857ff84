"""One experiment: what is measured. Nothing about the machine or the repeats is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from llem_config._spec.capabilities import (
    BACKENDS,
    DECODING_SUPPORT,
    INCOMPATIBLE,
    PRECISION_SUPPORT,
    BackendName,
    Decoding,
    PhaseName,
    Precision,
)
from llem_config._spec.dataset import Dataset, DatasetConfig
from llem_config._spec.measurement import BaselineConfig, EnergyConfig, WarmupConfig
from llem_config._spec.plugins import OTHER_SECTIONS, with_other_sections
from llem_config._spec.pytorch import (
    STRICT,
    OwnDict,
    PyTorchConfig,
    TensorRTConfig,
    VLLMConfig,
    pytorch_conflicts,
    pytorch_phase_conflicts,
)

PRESETS: dict[str, dict[str, Any]] = {
    "deterministic": {"temperature": 0.0},
    "standard": {"temperature": 1.0},
    "creative": {"temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.1},
    "factual": {"temperature": 0.3, "top_k": 10},
}
"""What a decoder preset stands for; it is spelled out before hashing."""

_SAMPLING_ONLY = ("top_k", "top_p", "min_p")


class DecoderConfig(BaseModel):
    """How the next token is chosen; greedy by default."""

    model_config = STRICT

    preset: Literal["deterministic", "standard", "creative", "factual"] | None = Field(
        None, exclude=True, repr=False
    )
    """Input only: replaced by what it stands for, so it is always None afterwards."""
    temperature: NonNegativeFloat = 0.0
    """0 is greedy; 1.0 where `do_sample: true` or a sampling option stands alone."""
    top_k: PositiveInt | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    min_p: Annotated[float, Field(gt=0, le=1)] | None = None
    repetition_penalty: PositiveFloat | None = None
    do_sample: bool = False
    """Follows from the temperature unless given."""
    min_new_tokens: PositiveInt | None = None
    ignore_eos: bool = True
    """Every answer then has the same length, so that points are comparable."""

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, data: Any) -> Any:
        """Replace `preset` by what it stands for and fill in what follows from what is given."""
        if not isinstance(data, Mapping):
            return data
        given = dict(data)
        preset = given.get("preset")
        if isinstance(preset, str) and preset in PRESETS:
            del given["preset"]  # a wrong one stays, and is a mistake like any other
            given = {**PRESETS[preset], **given}
        asked = given.get("do_sample")
        implied = any(given.get(name) is not None for name in _SAMPLING_ONLY)
        if "temperature" not in given and (asked or (asked is None and implied)):
            given["temperature"] = 1.0
        temperature = given.get("temperature", 0.0)
        if "do_sample" not in given and isinstance(temperature, int | float):
            given["do_sample"] = temperature > 0
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.do_sample != (self.temperature > 0):
            asked = "true" if self.do_sample else "false"
            raise PydanticCustomError(
                INCOMPATIBLE,
                "do_sample: {asked} contradicts temperature {temperature}",
                {"asked": asked, "temperature": self.temperature, "at": "do_sample"},
            )
        return self


class LoRAConfig(BaseModel):
    """A LoRA adapter on top of the model."""

    model_config = STRICT

    adapter: Annotated[str, Field(min_length=1)]
    """Hub id or local folder."""
    merge_weights: bool = False


SECTIONS: dict[str, type[BaseModel]] = {
    "pytorch": PyTorchConfig,
    "vllm": VLLMConfig,
    "tensorrt": TensorRTConfig,
    "decoder": DecoderConfig,
    "warmup": WarmupConfig,
    "baseline": BaselineConfig,
    "energy": EnergyConfig,
    "dataset": DatasetConfig,
    "lora": LoRAConfig,
    **OTHER_SECTIONS,
}
"""The fields of an experiment that are sections."""


def _default_weights(data: dict[str, Any]) -> Literal["pretrained", "random"]:
    return "random" if str(data.get("model", "")).startswith("builtin:") else "pretrained"


@with_other_sections
class ExperimentConfig(BaseModel):
    """One point of a study. Two experiments with the same hash do the same work."""

    model_config = STRICT

    model: Annotated[str, Field(min_length=1)]
    """Hub id, local folder, or `builtin:NAME`."""
    weights: Literal["pretrained", "random"] = Field(default_factory=_default_weights)
    """`random`: the real architecture with seeded random weights; the default for builtins."""
    backend: BackendName = "pytorch"
    precision: Precision = "bf16"
    dataset: Dataset = DatasetConfig()
    n: PositiveInt = 100
    """Prompts."""
    max_input_tokens: PositiveInt = 512
    """Longer prompts are cut, and the cut is counted."""
    max_output_tokens: PositiveInt = 128
    random_seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """Reaches Python, numpy, torch and the sampler."""
    decoder: DecoderConfig = DecoderConfig()
    warmup: WarmupConfig = WarmupConfig()
    baseline: BaselineConfig = BaselineConfig()
    energy: EnergyConfig = EnergyConfig()
    pytorch: PyTorchConfig | None = None
    vllm: VLLMConfig | None = None
    tensorrt: TensorRTConfig | None = None
    lora: LoRAConfig | None = None
    passthrough_kwargs: Annotated[dict[str, Any] | None, OwnDict] = None
    """Handed to the backend's loader; may not repeat a field."""

    @property
    def decoding(self) -> Decoding:
        """Return the way of decoding, as `DECODING_SUPPORT` names it."""
        if self.pytorch and (self.pytorch.num_beams or 1) > 1:
            return "beam"
        return "sampling" if self.decoder.do_sample else "greedy"

    def phase_conflicts(self, phase: PhaseName) -> list[str]:
        """Return why this phase cannot be measured apart; empty where nothing here says so."""
        reasons = []
        if phase == "decode" and self.max_output_tokens == 1:
            reasons.append(
                "the phase decode needs max_output_tokens >= 2, since prefill gives the first token"
            )
        if self.pytorch is not None:
            reasons += pytorch_phase_conflicts(self.pytorch, phase)
        return reasons

    # Checks of one field, not of the whole model, so that they are reported beside other mistakes.

    @field_validator("weights")
    @classmethod
    def _weights_exist(cls, weights: str, info: ValidationInfo) -> str:
        if weights == "pretrained" and str(info.data.get("model", "")).startswith("builtin:"):
            raise PydanticCustomError(
                "llem_weights",
                "expected random, since a builtin model has no other weights, found 'pretrained'",
            )
        return weights

    @field_validator("passthrough_kwargs")
    @classmethod
    def _passed_once(
        cls, kwargs: dict[str, Any] | None, info: ValidationInfo
    ) -> dict[str, Any] | None:
        section = SECTIONS.get(info.data.get("backend", ""), PyTorchConfig)
        secret = sorted(key for key in kwargs or () if key in ("token", "use_auth_token"))
        if secret:
            # A file is copied into results and shared; its values stand in logs and hashes.
            raise PydanticCustomError(
                "llem_secret",
                "{names} may not stand in a file; set the environment variable HF_TOKEN",
                {"names": " and ".join(secret)},
            )
        repeated = sorted({*cls.model_fields, *section.model_fields} & set(kwargs or ()))
        if repeated:
            raise PydanticCustomError(
                "llem_passthrough",
                "passthrough_kwargs may not repeat the field {names}; set the field itself",
                {"names": " and ".join(repeated)},
            )
        return kwargs

    @model_validator(mode="after")
    def _no_mistake(self) -> Self:
        for name in BACKENDS:
            if name != self.backend and getattr(self, name) is not None:
                raise PydanticCustomError(
                    "llem_section",
                    "a section for {name}, but the backend is {backend}; remove one",
                    {"name": name, "backend": self.backend, "at": name},
                )
        if (self.decoder.min_new_tokens or 0) > self.max_output_tokens:
            raise PydanticCustomError(
                INCOMPATIBLE,
                "decoder.min_new_tokens {least} is above max_output_tokens {most}",
                {"least": self.decoder.min_new_tokens, "most": self.max_output_tokens},
            )
        if problem := self.dataset.conflict(self.max_input_tokens):
            raise PydanticCustomError(INCOMPATIBLE, "{why}", {"why": problem})
        return self

    @model_validator(mode="after")
    def _runnable(self) -> Self:
        reasons = []
        if self.precision not in PRECISION_SUPPORT[self.backend]:
            reasons.append(f"{self.backend} does not support {self.precision}")
        if self.decoding not in DECODING_SUPPORT[self.backend]:
            reasons.append(f"{self.backend} does not support {self.decoding}")
        if self.pytorch is not None:
            reasons += pytorch_conflicts(self.pytorch, self.precision)
        for phase in self.energy.phases or ():
            reasons += self.phase_conflicts(phase)
        if reasons:
            raise PydanticCustomError(INCOMPATIBLE, "{why}", {"why": "; ".join(reasons)})
        return self
