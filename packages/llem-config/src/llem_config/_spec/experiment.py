"""One experiment: what is measured, without settings of the machine and repeats."""

from __future__ import annotations

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
from llem_config._spec.decoder import DecoderConfig
from llem_config._spec.limits import Count, Seed
from llem_config._spec.lora import LoRAConfig
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
    """The model: a hub id, a local folder in the layout of the hub, or `builtin:NAME`, an
    architecture with random weights.

    Energy: the number and size of its layers decide most of the operations and of the bytes read
    per token.
    """
    weights: Literal["pretrained", "random"] = Field(default_factory=_default_weights)
    """`pretrained`: the weights of the model's files; `random`: seeded random weights, without a
    download. The default is `random` for `builtin:` models, else `pretrained`.

    Energy: the operations are the same, but power depends on the values that are computed, so
    joules of random weights are not those of the model. The result has a warning.
    """
    backend: BackendName = "pytorch"
    """The inference library. Only `pytorch` (transformers) can run; `vllm` and `tensorrt` are
    checked and then refused, unless a package adds them.

    Energy: libraries differ in kernels, batching and memory management, so the same work costs
    different energy.
    """
    precision: Precision = "bf16"
    """Floating-point type of weights and computation. With `fp32` on a GPU, matrix products run in
    full fp32, not in tf32.

    Energy: `fp16` and `bf16` move half as many bytes as `fp32`, and GPUs have faster units for
    them; a CPU without such units may need more energy than with `fp32`.
    """
    dataset: Dataset = DatasetConfig()
    """The source of the prompts. A text is a shorthand for a section with only `source`."""
    n: Count = 100
    """Number of prompts in one pass over the workload.

    Energy: joules grow with the number of prompts, joules per token do not, apart from a last batch
    that is not full.
    """
    max_input_tokens: Count = 512
    """Maximum length of a prompt in tokens. Synthetic prompts have exactly this length unless
    `dataset.input_tokens` is set. Longer prompts are cut, and the result counts them.

    Energy: prefill reads every input token, and each output token reads the cache of all tokens
    before it, so longer prompts cost more in both phases.
    """
    max_output_tokens: Count = 128
    """Maximum length of an output in tokens. With `decoder.ignore_eos: true`, the default, every
    output has exactly this length.

    Energy: each output token is a step that reads all weights, so joules grow about in proportion,
    and joules per output token fall as prefill is shared by more of them.
    """
    random_seed: Seed = 42
    """Seed of Python, numpy and torch, a whole number: it decides synthetic prompts, random weights
    and sampled tokens. In a sweep it is never a factor; its effect shows as noise.

    Energy: no systematic effect; other tokens may draw slightly different power.
    """
    decoder: DecoderConfig = DecoderConfig()
    """How the next token is chosen; greedy by default."""
    warmup: WarmupConfig = WarmupConfig()
    """The warm-up before the measured window; it repeats batches of the shapes of the window, with
    other prompts."""
    baseline: BaselineConfig = BaselineConfig()
    """The measurement of idle power."""
    energy: EnergyConfig = EnergyConfig()
    """The sources of energy readings, and the length of the measured window."""
    pytorch: PyTorchConfig | None = None
    """Options of the backend `pytorch`. An option that is left out has the default of the
    library."""
    vllm: VLLMConfig | None = None
    """Options of the backend `vllm`: checked, but llem cannot run this backend yet."""
    tensorrt: TensorRTConfig | None = None
    """Options of the backend `tensorrt`: checked, but llem cannot run this backend yet."""
    lora: LoRAConfig | None = None
    """A LoRA adapter on top of the model; without this section the model runs alone."""
    passthrough_kwargs: Annotated[dict[str, Any] | None, PlainDict] = None
    """Further options for the loader of the backend, for `pytorch` those of
    `from_pretrained`; none by default. It
    may not repeat a field of a study file, change the architecture or contain a token.

    Energy: depends on the option; llem cannot check its effect.
    """
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
