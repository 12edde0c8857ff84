"""The PyTorch backend: `generate` of transformers, with exact token counts and step times."""

from __future__ import annotations

import gc
import importlib
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import torch
import transformers

from llem_config import ExperimentConfig, PhaseName
from llem_energy._backends.protocol import Batch, Generation, Memory, Phase, TextScore, Workload
from llem_energy._backends.pytorch.batching import check_ids, grouped, padded, unpadded
from llem_energy._backends.pytorch.chat_request import WITHOUT_TEMPLATE, render
from llem_energy._backends.pytorch.compilation import Compilations
from llem_energy._backends.pytorch.flops import decoder_of
from llem_energy._backends.pytorch.generation import StepClock, TokenGeneration
from llem_energy._backends.pytorch.generation_config import generation_config
from llem_energy._backends.pytorch.introspection import (
    cache_name,
    gpu_uuid,
)
from llem_energy._backends.pytorch.library_errors import foreign_errors
from llem_energy._backends.pytorch.loading import (
    load_model,
    load_tokenizer,
    preload_model_class,
)
from llem_energy._backends.pytorch.logits_check import (
    LogitsCheck,
    broken_logits,
    has_finite_logits,
)
from llem_energy._backends.pytorch.model_memory import memory_of, reset_peak
from llem_energy._backends.pytorch.padding import ignores_mask
from llem_energy._backends.pytorch.peaks import conditions_of, measure_peaks
from llem_energy._backends.pytorch.phases import decode, prefill
from llem_energy._backends.pytorch.requirements import check_requirements
from llem_energy._backends.pytorch.scoring import score_answers, score_text
from llem_energy._backends.pytorch.section import section
from llem_energy._backends.pytorch.traffic import traffic_of
from llem_energy._backends.pytorch.verification import NOT_YET, Running, check, effective
from llem_energy._backends.roofline import PeakConditions, Peaks
from llem_energy._errors import BackendError
from llem_energy._model_info.flops import Flops, answer_flops
from llem_energy._model_info.traffic import Traffic
from llem_energy._prompts.prompt import Chat, ChatTemplate, Prompt, RenderedChats


class PyTorchBackend:
    """One model on CPU or CUDA. See `Backend` for what each method promises."""

    def __init__(self, config: ExperimentConfig) -> None:
        self._config = config
        self._options = section(config)
        self._device = torch.device("cpu")
        self._model: Any = None
        self._warnings: tuple[str, ...] = ()
        self._checkpoint: dict[str, Any] = {}
        self._assistant: Any = None
        self._generation: Any = None
        self._compilations: Compilations | None = None
        self._batch_sizes: tuple[int, ...] = ()
        self._cache: str | None = NOT_YET
        self._pad_id = 0
        self._ignores_mask: bool | None = None
        self._chat_template: ChatTemplate | None = None

    @classmethod
    def preload(cls, config: ExperimentConfig) -> None:
        """Import what loading and generating will need; touches neither GPU nor weights."""
        importlib.import_module("transformers.generation.utils")
        importlib.import_module("transformers.integrations.accelerate")
        preload_model_class(config)

    def open(self) -> tuple[str, ...]:
        """Choose the device and create its context."""
        device = self._options.device or "auto"
        has_gpu = device != "cpu" and torch.cuda.is_available()
        if device == "cuda" and not has_gpu:
            raise BackendError("requested device cuda, but torch finds no GPU")
        check_requirements(self._config, has_gpu=has_gpu)
        self.seed()
        if not has_gpu:
            return ()
        # Matrix products of fp32 run in full fp32, regardless of the library's default.
        torch.set_float32_matmul_precision("highest")
        self._device = torch.device("cuda", 0)
        # This creates the context, whose power is part of the idle power.
        torch.zeros(1, device=self._device)
        return tuple(gpu_uuid(index) for index in self._gpus())

    def load(self) -> None:
        """Load model and draft model, set the generation arguments, and verify both."""
        self._compilations = Compilations()
        loaded = load_model(self._config, self._device)
        self._model, self._warnings, self._checkpoint = loaded
        if self._options.assistant_model:
            draft = self._config.model_copy(
                update={"model": self._options.assistant_model, "lora": None, "pytorch": None}
            )
            self._assistant, draft_warnings, _ = load_model(draft, self._device)
            self._warnings += draft_warnings
            self._assistant.generation_config = transformers.GenerationConfig()
        with foreign_errors(
            f"generation_config.json of model {self._config.model!r} cannot be used"
        ):
            self._generation = generation_config(self._config, self._model)
        self._pad_id = self._generation.pad_token_id
        # `generate` takes missing arguments from the model's generation_config.json, e.g. a
        # temperature or end tokens. They must not change the experiment.
        self._model.generation_config = transformers.GenerationConfig()
        if self._options.torch_compile:
            with foreign_errors("the model cannot be compiled"):
                self._compilations.compile(self._model, self._options)
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
            checkpoint=self._checkpoint,
        )

    def vocabulary(self) -> range:
        """Return every id except the first few, which are special tokens in most models."""
        return range(8, self._model.config.get_text_config().vocab_size)

    def prepare(self, prompts: Sequence[Prompt]) -> Workload:
        """Tokenise, cut, batch and pad on the left."""
        n_max = self._config.max_input_tokens
        ids = self._tokenise(prompts)
        empty = [number for number, prompt in enumerate(ids, 1) if not prompt]
        if empty:
            raise BackendError(
                f"row {empty[0]} of the data set has no tokens in the tokenizer of "
                f"{self._config.model}; remove the row"
            )
        check_ids(self._model, self._config.model, ids)
        n_truncated = sum(len(prompt) > n_max for prompt in ids)
        cut = [prompt[:n_max] for prompt in ids]
        by_length = self._options.batching == "sorted"
        groups = grouped(cut, self._options.batch_size or 1, by_length=by_length)
        self._check_padding([[len(cut[index]) for index in group] for group in groups])
        self._batch_sizes = tuple(sorted({len(group) for group in groups}))
        if self._options.cache_implementation in ("static", "offloaded_static"):
            # The same length for every batch: otherwise the cache grows with the longest prompt so
            # far, and code that was compiled for its length is compiled again.
            longest = max(len(prompt) for prompt in cut)
            self._generation.max_cache_len = longest + self._config.max_output_tokens - 1
        batches = tuple(padded(cut, group, self._pad_id, self._device) for group in groups)
        return Workload(batches, n_truncated)

    def render_chats(self, chats: Sequence[Chat]) -> RenderedChats:
        """Apply the chat template in a process of its own, which has limits."""
        rendered = render(self._config, chats)
        self._chat_template = rendered.template
        return rendered

    def _check_padding(self, lengths: Sequence[Sequence[int]]) -> None:
        """Return if no batch needs padding, or the model ignores it as it should."""
        if all(len(set(batch)) == 1 for batch in lengths):
            return
        if self._ignores_mask is None:  # found once: it runs the model
            with foreign_errors("a padded prompt cannot be answered"):
                found = ignores_mask(self._model, self.vocabulary(), self._device)
            self._ignores_mask = found
        if not self._ignores_mask:
            return
        raise BackendError(
            f"model {self._config.model} ignores the attention mask, so that padding would change "
            "its answers; use prompts of equal lengths, or pytorch.batch_size: 1"
        )

    def _tokenise(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        if not texts:
            return [list(prompt) for prompt in prompts if not isinstance(prompt, str)]
        tokenizer = load_tokenizer(self._config)
        if tokenizer.chat_template and self._config.dataset.chat_template is None:
            self._warnings = (*self._warnings, WITHOUT_TEMPLATE.format(model=self._config.model))
        with foreign_errors(f"the tokenizer of model {self._config.model!r} cannot be used"):
            return [list(row) for row in tokenizer(texts, truncation=False)["input_ids"]]

    def generate(self, batch: Batch) -> TokenGeneration:
        """Generate the output of one batch; on a GPU the last kernels may still run."""
        clock = StepClock(self._device, batch.n_prompts)
        draft = {} if self._assistant is None else {"assistant_model": self._assistant}
        stepwise = self._assistant is None and not self._options.prompt_lookup_num_tokens
        logits = LogitsCheck(is_sampled=self._config.decoder.do_sample)
        # Drafted tokens would pass through it too, one by one, which changes the work.
        processors = transformers.LogitsProcessorList([logits] if stepwise else [])
        with foreign_errors("generation failed"), torch.inference_mode():
            output = self._model.generate(
                **batch.inputs,
                generation_config=self._generation,
                stopping_criteria=transformers.StoppingCriteriaList([clock]),
                logits_processor=processors,
                **draft,
            )
        if self._cache is NOT_YET:  # the first generation, part of the warm-up
            self._cache = cache_name(output.get("past_key_values"))
            check(self._running())
            if not stepwise and not has_finite_logits(self._model, output.sequences):
                raise self._broken_logits()
        ends = self._generation.eos_token_id
        ids = output.sequences[:, batch.shape[1] :]
        clock_of_steps = clock if stepwise else None
        return TokenGeneration(ids, ends, clock_of_steps, batch, logits, self._broken_logits)

    def _broken_logits(self) -> BackendError:
        return broken_logits(self._config, self._model)

    def score_text(self, text: str, shape: tuple[int, int]) -> TextScore:
        """Return how probable the model finds a text, without compiled code."""
        tokenizer = load_tokenizer(self._config)
        with foreign_errors("the model cannot read a text"):
            return score_text(self._model, tokenizer, text, shape, self._device)

    def score_answers(self, batch: Batch, generation: Generation, max_tokens: int) -> TextScore:
        """Return how probable the model finds its own outputs, without compiled code."""
        if not isinstance(generation, TokenGeneration):
            raise BackendError(f"expected a generation of this backend, found {generation!r}")
        with foreign_errors("the model cannot read its outputs"):
            rows = zip(unpadded(batch), generation.tokens(), strict=True)
            return score_answers(self._model, rows, max_tokens, self._device)

    def phase(self, name: PhaseName, batch: Batch) -> Phase:
        """Prepare one phase of a batch with the experiment's generation arguments."""
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
        return range(torch.cuda.device_count() if self._options.device_map else 1)

    def seed(self) -> None:
        """Seed Python, numpy and torch, on every device."""
        random.seed(self._config.random_seed)
        np.random.seed(self._config.random_seed)
        torch.manual_seed(self._config.random_seed)

    def reset_peak_memory(self) -> None:
        """Reset the peak of the allocator, or on a CPU that of the kernel."""
        reset_peak(self._device, self._gpus())

    def memory(self) -> Memory:
        """Return the peak of the window, including the weights, and the weights alone."""
        return memory_of(self._model, self._device, self._gpus())

    def flops(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> Flops | None:
        """Count the operations for one prompt and its output from the loaded architecture."""
        decoder = decoder_of(self._model) if self._is_stepwise() else None
        if decoder is None:
            return None
        return answer_flops(decoder, input_tokens, output_tokens, cached_tokens)

    def traffic(self) -> Traffic | None:
        """Return the sizes that decide how many bytes are moved; None if that is unknown."""
        is_plain_cache = self._options.cache_implementation in (None, "dynamic", "static")
        return traffic_of(self._model) if self._is_stepwise() and is_plain_cache else None

    def peak_conditions(self) -> PeakConditions:
        """Return the device, the type of its products, and the version of torch."""
        return conditions_of(self._model, self._device, len(self._gpus()))

    def measure_peaks(self) -> Peaks:
        """Measure matrix products, copies and reads on the device."""
        with foreign_errors("the peaks of the device cannot be measured"):
            return measure_peaks(self._device, self.peak_conditions().precision)

    def _is_stepwise(self) -> bool:
        """Return whether each step computes one token of each prompt, with a cache."""
        plain = self._config.decoding != "beam" and self._options.use_cache is not False
        return plain and not self._assistant and not self._options.prompt_lookup_num_tokens

    def compilations(self) -> int:
        """Return how often torch compiled since the model was loaded."""
        return 0 if self._compilations is None else self._compilations.count

    def effective_config(self) -> dict[str, Any]:
        """Return the options that the model really uses."""
        template = self._chat_template
        record = None if template is None else msgspec.to_builtins(template)
        return effective(self._running()) | {"chat_template": record}

    def warnings(self) -> tuple[str, ...]:
        """Return how the loaded models differ from their files."""
        return self._warnings

    def close(self) -> None:
        """Drop the model and free its memory."""
        self._model = self._assistant = None
        if self._compilations is not None:
            self._compilations.close()
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
