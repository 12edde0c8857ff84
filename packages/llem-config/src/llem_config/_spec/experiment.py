"""One experiment: what is measured, without settings of the machine and repeats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from llem_config._spec.builtin_models import KNOWN_BUILTIN
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
from llem_config._spec.limits import Count, Factor, Seed
from llem_config._spec.measurement import BaselineConfig, EnergyConfig, WarmupConfig
from llem_config._spec.passthrough import passthrough_problem
from llem_config._spec.path_field import PathField
from llem_config._spec.plugins import OTHER_SECTIONS, with_other_sections
from llem_config._spec.pytorch import PyTorchConfig, pytorch_conflicts, pytorch_phase_conflicts
from llem_config._spec.strict import STRICT, PlainDict
from llem_config._spec.tensorrt import TensorRTConfig
from llem_config._spec.vllm import VLLMConfig
from llem_config.credentials import find_credentials
from llem_config.text import one_line

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
    """A shorthand for several fields. They replace it, so it is None after validation."""
    temperature: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """0 is greedy decoding. The default is 1.0 if `do_sample` is true or a sampling field is set."""
    top_k: Count | None = None
    """Sample from this number of most probable tokens."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Sample from the most probable tokens whose probabilities add up to this."""
    min_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Sample from tokens with at least this share of the highest probability."""
    repetition_penalty: Factor | None = None
    """Above 1, tokens that already occurred become less probable."""
    do_sample: bool = False
    """Sample the next token; by default, if the temperature is above 0."""
    min_new_tokens: Count | None = None
    """Min number of tokens of an output."""
    ignore_eos: bool = True
    """Continue after the end token, so that all outputs have the same length and points are
    comparable."""

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


class LoRAConfig(BaseModel):
    """A LoRA adapter on top of the model."""

    model_config = STRICT

    adapter: Annotated[str, Field(min_length=1), PathField()]
    """Hub id or local folder."""
    merge_weights: bool = False
    """Merge the adapter into the weights before the measurement."""


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
    """One point of a study. Two experiments with the same hash are the same measurement."""

    model_config = STRICT

    model: Annotated[str, Field(min_length=1), PathField(), KNOWN_BUILTIN]
    """Hub id, local folder, or `builtin:NAME`."""
    weights: Literal["pretrained", "random"] = Field(default_factory=_default_weights)
    """`random`: seeded random weights, without a download; the default for `builtin:` models."""
    backend: BackendName = "pytorch"
    """The inference library."""
    precision: Precision = "bf16"
    """Floating-point type of the model."""
    dataset: Dataset = DatasetConfig()
    """The source of the prompts."""
    n: Count = 100
    """Number of prompts."""
    max_input_tokens: Count = 512
    """Longer prompts are truncated, and the result counts them."""
    max_output_tokens: Count = 128
    """Max number of tokens of an output."""
    random_seed: Seed = 42
    """Seed of Python, numpy, torch and the sampling of tokens."""
    decoder: DecoderConfig = DecoderConfig()
    """How the next token is chosen."""
    warmup: WarmupConfig = WarmupConfig()
    """The warm-up before the measured window."""
    baseline: BaselineConfig = BaselineConfig()
    """The measurement of the idle power."""
    energy: EnergyConfig = EnergyConfig()
    """The sources of energy readings, and the length of the window."""
    pytorch: PyTorchConfig | None = None
    """Options of the backend `pytorch`."""
    vllm: VLLMConfig | None = None
    """Options of the backend `vllm`."""
    tensorrt: TensorRTConfig | None = None
    """Options of the backend `tensorrt`."""
    lora: LoRAConfig | None = None
    """A LoRA adapter; None uses the model alone."""
    passthrough_kwargs: Annotated[dict[str, Any] | None, PlainDict] = None
    """Further options for the backend's loader; may not repeat a field."""
    paths: SkipJsonSchema[dict[str, str] | None] = Field(
        None, repr=False, exclude_if=lambda value: value is None
    )
    """The full path of each value that is a path relative to the file that it is written in, by
    its dotted key. `load_study` sets it; a file cannot. It is not part of the hash: two people
    with the same study in other folders have the same experiments."""

    def with_full_paths(self) -> Self:
        """Return the experiment with full paths in place of relative ones.

        This is what the files are opened by. Results and hashes keep the values as written.
        """
        update: dict[str, Any] = {"paths": None}
        for key, path in (self.paths or {}).items():
            section, _, field = key.rpartition(".")
            below = getattr(self, section) if section else None
            if below is None:
                update[key] = path
            else:
                update[section] = update.get(section, below).model_copy(update={field: path})
        return self.model_copy(update=update) if self.paths else self

    @property
    def decoding(self) -> Decoding:
        """Return the decoding method, as `DECODING_SUPPORT` names it."""
        if self.pytorch and (self.pytorch.num_beams or 1) > 1:
            return "beam"
        return "sampling" if self.decoder.do_sample else "greedy"

    def phase_conflicts(self, phase: PhaseName) -> list[str]:
        """Return why this phase cannot be measured separately; empty if there is no known reason."""
        reasons = []
        if phase == "decode" and self.max_output_tokens == 1:
            reasons.append(
                "the phase decode needs max_output_tokens >= 2: prefill gives the first token"
            )
        if self.pytorch is not None:
            reasons += pytorch_phase_conflicts(self.pytorch, phase)
        return reasons

    # These check a field instead of the model, so that they are reported with other mistakes.

    @field_validator("weights")
    @classmethod
    def _weights_exist(cls, weights: str, info: ValidationInfo) -> str:
        if weights == "pretrained" and str(info.data.get("model", "")).startswith("builtin:"):
            raise PydanticCustomError(
                "llem_weights",
                "expected random, because a builtin model has no other weights, found 'pretrained'",
            )
        return weights

    @field_validator("passthrough_kwargs")
    @classmethod
    def _passed_once(
        cls, kwargs: dict[str, Any] | None, info: ValidationInfo
    ) -> dict[str, Any] | None:
        if not kwargs:
            return kwargs
        backend = str(info.data.get("backend", "pytorch"))
        if secret := sorted(dict(find_credentials(kwargs))):
            # Study files are copied to results and shared, and their values appear in logs.
            raise PydanticCustomError(
                "llem_secret",
                "{names} may not be written in a file; set the environment variable HF_TOKEN",
                {"names": " and ".join(one_line(name, 200) for name in secret[:10])},
            )
        fields = {*cls.model_fields}
        for name, section in SECTIONS.items():
            fields |= {f"{name}.{field}" for field in section.model_fields}
        checks = (passthrough_problem(name, backend, fields) for name in sorted(kwargs))
        if problems := [problem for problem in checks if problem]:
            raise PydanticCustomError("llem_passthrough", "{why}", {"why": "; it ".join(problems)})
        return kwargs

    @model_validator(mode="after")
    def _no_mistake(self) -> Self:
        for name in BACKENDS:
            if name != self.backend and getattr(self, name) is not None:
                raise PydanticCustomError(
                    "llem_section",
                    "this section needs backend {name}, but the backend is {backend}; change one",
                    {"name": name, "backend": self.backend, "at": name},
                )
        if (self.decoder.min_new_tokens or 0) > self.max_output_tokens:
            raise PydanticCustomError(
                INCOMPATIBLE,
                "decoder.min_new_tokens {min} is above max_output_tokens {max}",
                {"min": self.decoder.min_new_tokens, "max": self.max_output_tokens},
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
