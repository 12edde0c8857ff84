"""What the PyTorch backend can say about an experiment without importing torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Literal

from llem_config import ExperimentConfig, PyTorchConfig
from llem_energy._backends.facts import BackendFacts, DeviceChoice
from llem_energy._backends.first_study import FirstStudy
from llem_energy._backends.pytorch.chat_request import problems
from llem_energy._backends.pytorch.first_studies import first_studies
from llem_energy._backends.pytorch.model_files import file_problems
from llem_energy._backends.pytorch.requirements import unmet_requirements
from llem_energy._backends.pytorch.section import section
from llem_energy._hub import model_folder
from llem_energy._model_info.loaded_parts import LoadedParts
from llem_energy._model_info.memory_estimate import CacheKind, MemoryLayout
from llem_energy._model_info.model_ref import ModelRef
from llem_energy._prompts.prompt import Chat, ChatProblem
from llem_energy._prompts.synthetic import SYNTHETIC

_DEVICES: dict[str, DeviceChoice] = {"auto": "auto", "cuda": "gpu", "cpu": "cpu"}
# bitsandbytes: 4 bits a weight, and for each 64 of them one scale in fp32, or in 8 bits and a
# second scale for 256 of those; 8 bits a weight (the scale of each row is not counted).
_BYTES_4BIT, _BYTES_4BIT_DOUBLE, _BYTES_8BIT = 0.5 + 4 / 64, 0.5 + 1 / 64 + 4 / 64 / 256, 1.0


class PyTorchFacts(BackendFacts):
    """Facts from the section `pytorch:`; see `BackendFacts` for what each method promises."""

    def requirements(self, config: ExperimentConfig, *, has_gpu: bool) -> list[str]:
        """Return what the machine or an installed library lacks."""
        return unmet_requirements(config, has_gpu=has_gpu)

    def large_packages(self) -> tuple[str, ...]:
        """Return torch and transformers."""
        return ("torch", "transformers")

    def file_problems(self, config: ExperimentConfig) -> Iterator[str]:
        """Yield what is wrong with the files of the models and the adapter."""
        yield from file_problems(config)

    def files_read(self, config: ExperimentConfig) -> tuple[object, ...]:
        """Return the options that decide which files are read, and how."""
        options = section(config)
        return (
            self.models(config), config.weights, config.dataset.source == SYNTHETIC,
            config.lora.adapter if config.lora else None, repr(config.passthrough_kwargs),
            options.trust_remote_code, options.use_safetensors,
        )  # fmt: skip

    def device(self, config: ExperimentConfig) -> DeviceChoice:
        """Return the requested device."""
        return _DEVICES[section(config).device or "auto"]

    def first_studies(self, n_gpus: int) -> tuple[FirstStudy, ...]:
        """Return a study on a GPU, over several, in 4 bits, and on the processor."""
        return tuple(first_studies(n_gpus))

    def spreads_over_gpus(self, config: ExperimentConfig) -> bool:
        """Return whether `device_map` spreads the model."""
        return bool(section(config).device_map)

    def models(self, config: ExperimentConfig) -> tuple[ModelRef, ...]:
        """Return the model with its revision, and the draft model of assisted decoding."""
        options = section(config)
        variant = (config.passthrough_kwargs or {}).get("variant")
        model = ModelRef(
            config.model, options.revision, variant if isinstance(variant, str) else None
        )
        draft = options.assistant_model
        return (model, ModelRef(draft)) if draft else (model,)

    def parts(self, config: ExperimentConfig) -> LoadedParts:
        """Return the format of the weights, and whether the model's own code runs."""
        options = section(config)
        preferred: Literal["safetensors", "pickle"] = (
            "pickle" if options.use_safetensors is False else "safetensors"
        )
        return LoadedParts(
            None if config.weights == "random" else preferred, bool(options.trust_remote_code)
        )

    def memory(self, config: ExperimentConfig) -> MemoryLayout:
        """Return how transformers holds the model in memory."""
        options = section(config)
        return MemoryLayout(
            max_batch_prompts=options.batch_size or 1,
            sequences_per_prompt=options.num_beams or 1,
            bytes_per_matrix_weight=_bytes_per_matrix_weight(options),
            cache=_cache(options),
            stores_attention_scores=options.attn_implementation == "eager",
        )

    def chat_problems(
        self, config: ExperimentConfig, chats: Iterable[Chat]
    ) -> Sequence[ChatProblem]:
        """Render every conversation, if the tokenizer and the libraries are on this machine."""
        is_installed = all(find_spec(name) for name in ("jinja2", "torch", "transformers"))
        folder = model_folder(config.model, section(config).revision)
        if not is_installed or folder is None or not (folder / "tokenizer_config.json").is_file():
            return ()
        return problems(config, chats)

    def warnings(self, config: ExperimentConfig) -> Iterator[str]:
        """Yield what the options mean for a reader of the result."""
        options = section(config)
        if config.n < (options.batch_size or 1):
            yield (
                f"batch_size is {options.batch_size}, but no batch has more than {config.n} "
                f"prompts because n is {config.n}"
            )
        if options.trust_remote_code:
            yield "code that came with the model was allowed to run (trust_remote_code)"
        if options.use_safetensors is False:
            yield "weights were read from pickle files, which can run code (use_safetensors: false)"


def _bytes_per_matrix_weight(options: PyTorchConfig) -> float | None:
    if options.load_in_4bit:
        return _BYTES_4BIT_DOUBLE if options.bnb_4bit_use_double_quant else _BYTES_4BIT
    return _BYTES_8BIT if options.load_in_8bit else None


def _cache(options: PyTorchConfig) -> CacheKind:
    if options.use_cache is False:
        return "none"
    is_static = options.cache_implementation in ("static", "offloaded_static")
    return "preallocated" if is_static else "growing"
