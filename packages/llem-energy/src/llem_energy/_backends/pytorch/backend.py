"""The PyTorch backend: transformers' own `generate`, with exact token counts and step times."""

from __future__ import annotations

import gc
import importlib
import random
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from llem_config import ExperimentConfig, PhaseName
from llem_energy._backends.protocol import Batch, Memory, Phase, Workload
from llem_energy._backends.pytorch.compilation import Compilations
from llem_energy._backends.pytorch.flops import decoder_of
from llem_energy._backends.pytorch.generation import StepClock, TokenGeneration
from llem_energy._backends.pytorch.introspection import cache_name
from llem_energy._backends.pytorch.loading import (
    foreign_errors,
    load_model,
    load_tokenizer,
    preload_model_class,
)
from llem_energy._backends.pytorch.phases import decode, prefill
from llem_energy._backends.pytorch.requirements import check_requirements
from llem_energy._backends.pytorch.section import section
from llem_energy._backends.pytorch.verification import NOT_YET, Running, check, effective
from llem_energy._errors import BackendError
from llem_energy._model_info.flops import METHOD, Flops, answer_flops
from llem_energy._prompts.prompt import Prompt

_CLEAR_REFS = Path("/proc/self/clear_refs")


class PyTorchBackend:
    """One model on CPU or CUDA. See `Backend` for what each method promises."""

    def __init__(self, config: ExperimentConfig) -> None:
        self._config = config
        self._own = section(config)
        self._device = torch.device("cpu")
        self._model: Any = None
        self._assistant: Any = None
        self._generation: Any = None
        self._compilations: Compilations | None = None
        self._batch_sizes: tuple[int, ...] = ()
        self._cache: str | None = NOT_YET
        self._pad_id = 0

    @classmethod
    def preload(cls, config: ExperimentConfig) -> None:
        """Import what loading and generating will need; touches neither GPU nor weights."""
        importlib.import_module("transformers.generation.utils")
        importlib.import_module("transformers.integrations.accelerate")
        preload_model_class(config)

    def open(self) -> tuple[str, ...]:
        """Choose the device and create its context."""
        asked = self._own.device or "auto"
        has_gpu = asked != "cpu" and torch.cuda.is_available()
        if asked == "cuda" and not has_gpu:
            raise BackendError("asked for device cuda, but torch sees no GPU")
        check_requirements(self._config, has_gpu=has_gpu)
        self.seed()
        if not has_gpu:
            return ()
        # Matrix products in full fp32 where fp32 is asked for, whatever the library's default.
        torch.set_float32_matmul_precision("highest")
        self._device = torch.device("cuda", 0)
        torch.zeros(1, device=self._device)  # the context draws power, so it is part of idle
        return tuple(_uuid(index) for index in self._gpus())

    def load(self) -> None:
        """Load model and assistant, fix the generation arguments, and check what came out."""
        self._compilations = Compilations()
        self._model = load_model(self._config, self._device)
        if self._own.assistant_model:
            drafter = self._config.model_copy(
                update={"model": self._own.assistant_model, "lora": None, "pytorch": None}
            )
            self._assistant = load_model(drafter, self._device)
            self._assistant.generation_config = transformers.GenerationConfig()
        self._generation = self._generation_config()
        # `generate` fills what we leave open from the model's own generation_config.json, e.g. a
        # temperature or a list of end tokens. Nothing may come in by that way.
        self._model.generation_config = transformers.GenerationConfig()
        if self._own.torch_compile:
            with foreign_errors("the model cannot be compiled"):
                self._compilations.compile(self._model, self._own)
        check(self._running())

    def _running(self) -> Running:
        return Running(
            config=self._config,
            device=self._device,
            model=self._model,
            generation=self._generation,
            assistant=self._assistant,
            n_compilations=self.compilations(),
            batch_sizes=self._batch_sizes,
            cache=self._cache,
        )

    def vocabulary(self) -> range:
        """Return every id but the first few, where architectures keep their special tokens."""
        return range(8, self._model.config.get_text_config().vocab_size)

    def prepare(self, prompts: Sequence[Prompt]) -> Workload:
        """Tokenise, cut, batch and pad on the left."""
        most = self._config.max_input_tokens
        ids = self._tokenise(prompts)
        empty = [number for number, one in enumerate(ids, 1) if not one]
        if empty:
            raise BackendError(f"prompt {empty[0]} has no tokens, so there is nothing to answer")
        n_truncated = sum(len(one) > most for one in ids)
        cut = [one[:most] for one in ids]
        order = list(range(len(cut)))
        if self._own.batching == "sorted":
            order.sort(key=lambda place: len(cut[place]), reverse=True)
        size = self._own.batch_size or 1
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        self._batch_sizes = tuple(sorted({len(group) for group in groups}))
        if self._own.cache_implementation in ("static", "offloaded_static"):
            # As long for every batch: it grows with the longest prompt so far, and is compiled
            # for its length, so that a short prompt after a long one would be compiled again.
            longest = max(len(one) for one in cut)
            self._generation.max_cache_len = longest + self._config.max_output_tokens - 1
        return Workload(tuple(self._batch(cut, group) for group in groups), n_truncated)

    def _tokenise(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        if not texts:
            return [list(prompt) for prompt in prompts if not isinstance(prompt, str)]
        tokenizer = load_tokenizer(self._config)
        return [list(one) for one in tokenizer(texts, truncation=False)["input_ids"]]

    def _batch(self, prompts: list[list[int]], places: list[int]) -> Batch:
        ids = [prompts[place] for place in places]
        longest = max(len(one) for one in ids)
        # On the left: a decoder continues at the right end, where padding would be read as text.
        padded = [[self._pad_id] * (longest - len(one)) + one for one in ids]
        mask = [[0] * (longest - len(one)) + [1] * len(one) for one in ids]
        inputs = {
            "input_ids": torch.tensor(padded, device=self._device),
            "attention_mask": torch.tensor(mask, device=self._device),
        }
        lengths = tuple(len(one) for one in ids)
        return Batch(len(ids), (len(ids), longest), lengths, inputs, tuple(places))

    def _generation_config(self) -> Any:
        decoder, own = self._config.decoder, self._own
        theirs = self._model.generation_config
        ends = theirs.eos_token_id
        end_ids = [ends] if isinstance(ends, int) else list(ends or ())
        self._pad_id = theirs.pad_token_id if theirs.pad_token_id is not None else (*end_ids, 0)[0]
        options: dict[str, Any] = {
            "max_new_tokens": self._config.max_output_tokens,
            "do_sample": decoder.do_sample,
            "eos_token_id": None if decoder.ignore_eos else end_ids or None,
            "pad_token_id": self._pad_id,
            "bos_token_id": theirs.bos_token_id,
            "min_new_tokens": decoder.min_new_tokens,
            "repetition_penalty": decoder.repetition_penalty,
            "num_beams": own.num_beams,
            "early_stopping": own.early_stopping,
            "length_penalty": own.length_penalty,
            "no_repeat_ngram_size": own.no_repeat_ngram_size,
            "use_cache": own.use_cache,
            "cache_implementation": own.cache_implementation,
            "prompt_lookup_num_tokens": own.prompt_lookup_num_tokens,
            # With a static cache on a GPU, transformers compiles unless it is told not to. What is
            # compiled by us already would be compiled twice.
            "disable_compile": None if own.torch_compile is None else True,
            # The cache that was used, to be read from the answer; it costs nothing.
            "return_dict_in_generate": True,
        }
        if decoder.do_sample:
            # 0 and 1 are "no limit"; left open, the library would cut at its own top 50.
            options |= {
                "temperature": decoder.temperature,
                "top_k": decoder.top_k or 0,
                "top_p": decoder.top_p or 1.0,
                "min_p": decoder.min_p,
            }
        given = {key: value for key, value in options.items() if value is not None}
        return transformers.GenerationConfig(**given)

    def generate(self, batch: Batch) -> TokenGeneration:
        """Answer one batch; on a GPU the last kernels may still run."""
        clock = StepClock(self._device, batch.n_prompts)
        options = {} if self._assistant is None else {"assistant_model": self._assistant}
        with foreign_errors("generation failed"), torch.inference_mode():
            output = self._model.generate(
                **batch.inputs,
                generation_config=self._generation,
                stopping_criteria=transformers.StoppingCriteriaList([clock]),
                **options,
            )
        if self._cache is NOT_YET:  # the first answer, part of the warm-up
            self._cache = cache_name(output.get("past_key_values"))
            check(self._running())
        ends = self._generation.eos_token_id
        stepwise = self._assistant is None and not self._own.prompt_lookup_num_tokens
        ids = output.sequences[:, batch.shape[1] :]
        return TokenGeneration(ids, ends, clock if stepwise else None)

    def phase(self, name: PhaseName, batch: Batch) -> Phase:
        """Prepare one phase of answering a batch with the experiment's generation arguments."""
        if reasons := self._config.phase_conflicts(name):
            raise BackendError("; ".join(reasons))
        prepare = prefill if name == "prefill" else decode
        return prepare(self._model, self._generation, batch)

    def synchronise(self) -> None:
        """Wait for every GPU in use."""
        if self._device.type == "cuda":
            for index in self._gpus():
                torch.cuda.synchronize(index)

    def _gpus(self) -> range:
        return range(torch.cuda.device_count() if self._own.device_map else 1)

    def seed(self) -> None:
        """Seed Python, numpy and torch, on every device."""
        random.seed(self._config.random_seed)
        np.random.seed(self._config.random_seed)
        torch.manual_seed(self._config.random_seed)

    def reset_peak_memory(self) -> None:
        """Restart the allocator's peak, or on a CPU the kernel's."""
        if self._device.type == "cuda":
            for index in self._gpus():
                torch.cuda.reset_peak_memory_stats(index)
        else:
            try:
                _CLEAR_REFS.write_text("5")  # resets VmHWM; see proc(5)
            except OSError:
                return

    def memory(self) -> Memory:
        """Return the peak of the window, weights included, and the weights alone."""
        weights = None if self._model is None else _bytes(self._model)
        if self._device.type == "cuda":
            peak = sum(int(torch.cuda.max_memory_allocated(index)) for index in self._gpus())
            return Memory(peak, weights, "torch allocator of this process, weights included")
        return Memory(_peak_resident_bytes(), weights, "resident set of this process, all included")

    def flops(self, input_tokens: int, output_tokens: int) -> Flops | None:
        """Count the operations of one answer from the loaded architecture."""
        decoder = decoder_of(self._model)
        plain = self._config.decoding != "beam" and self._own.use_cache is not False
        if decoder is None or not plain or self._assistant or self._own.prompt_lookup_num_tokens:
            return None
        total = answer_flops(decoder, input_tokens, output_tokens)
        return Flops(total=total, method=METHOD, confidence="medium")

    def compilations(self) -> int:
        """Return how often torch has compiled since the model was loaded."""
        return 0 if self._compilations is None else self._compilations.count

    def effective_config(self) -> dict[str, Any]:
        """Read back what the model really uses."""
        return effective(self._running())

    def close(self) -> None:
        """Drop the model and give its memory back."""
        self._model = self._assistant = None
        if self._compilations is not None:
            self._compilations.close()
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _bytes(model: Any) -> int:
    tensors = [*model.parameters(), *model.buffers()]
    return sum(one.numel() * one.element_size() for one in tensors)


def _uuid(index: int) -> str:
    uuid = str(torch.cuda.get_device_properties(index).uuid)
    return uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"


def _peak_resident_bytes() -> int:
    try:
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
