"""The backend: the whole interface between llem and an inference library, for the parrot."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Sequence
from typing import Any

from llem_config import ExperimentConfig, PhaseName
from llem_energy import BackendError
from llem_energy.backends import Batch, Memory, Phase, Prompt, Workload
from llem_energy.models import builtin_architecture
from llem_energy.sources import gpu_uuids
from llem_parrot._facts import ParrotFacts, options_of
from llem_parrot._parrot import Parrot
from llem_parrot._prefix_cache import PrefixCache

_END = 2
_PAD = 0


class ParrotGeneration:
    """The answers to one batch."""

    def __init__(self, rows: list[list[int]], times_s: list[float], n_cached: list[int]) -> None:
        self.rows = rows
        self._times_s = times_s
        self._n_cached = n_cached

    def n_tokens(self) -> tuple[int, ...]:
        """Return the number of tokens of each answer, without padding."""
        return tuple(len(row) for row in self.rows)

    def token_times_s(self) -> tuple[float, ...]:
        """Return the time at the end of each step, in seconds since the start of the batch."""
        return tuple(self._times_s)

    def cached_input_tokens(self) -> tuple[int, ...]:
        """Return how many tokens of each prompt the parrot did not read again."""
        return tuple(self._n_cached)

    def padding_tokens(self) -> tuple[int, ...]:
        """Return 0 for each prompt: the parrot reads prompts of any length side by side."""
        return (0,) * len(self.rows)

    def tokens_after_end(self) -> tuple[int, ...]:
        """Return 0 for each prompt: an answer that has ended takes no further step."""
        return (0,) * len(self.rows)


class ParrotBackend:
    """One parrot, on the CPU or beside a GPU."""

    def __init__(self, config: ExperimentConfig) -> None:
        self._config = config
        self._options = options_of(config)
        self._gpus: tuple[str, ...] = ()
        self._parrot: Parrot | None = None
        self._chance: random.Random | None = None
        self._prefix_cache: PrefixCache | None = None

    def open(self) -> tuple[str, ...]:
        """Return the GPU that is used, whose energy is then measured; () on the CPU."""
        self._gpus = gpu_uuids()[:1] if self._options.device == "gpu" else ()
        return self._gpus

    def load(self) -> None:
        """Create the parrot with the vocabulary of the model."""
        if missing := [*ParrotFacts().requirements(self._config, has_gpu=bool(self._gpus))]:
            raise BackendError("; ".join(missing))
        shape = builtin_architecture(self._config.model) or {}
        playful = self._options.mood == "playful"
        self._parrot = Parrot(int(shape["vocab_size"]), self._options.memory, playful=playful)
        if self._options.prefix_cache in ("clearable", "permanent"):
            self._prefix_cache = PrefixCache()
        self.seed()

    @property
    def _loaded(self) -> Parrot:
        if self._parrot is None:
            raise BackendError("the parrot is not loaded")
        return self._parrot

    def vocabulary(self) -> range:
        """Return all tokens except special tokens."""
        return range(8, self._loaded.n_tokens)

    def prepare(self, prompts: Sequence[Prompt]) -> Workload:
        """Cut the prompts and group them; there is no padding, but the shape has the max length."""
        max_tokens = self._config.max_input_tokens
        ids = [self._ids(prompt) for prompt in prompts]
        cut = [list(prompt[:max_tokens]) for prompt in ids]
        size = self._options.batch_size or 1
        groups = [cut[start : start + size] for start in range(0, len(cut), size)]
        batches = tuple(
            Batch(
                n_prompts=len(group),
                shape=(len(group), max(len(prompt) for prompt in group)),
                lengths=tuple(len(prompt) for prompt in group),
                inputs=group,
            )
            for group in groups
        )
        return Workload(batches, sum(len(prompt) > max_tokens for prompt in ids))

    def _ids(self, prompt: Prompt) -> Sequence[int]:
        if not isinstance(prompt, str):
            return prompt
        words = self.vocabulary()
        return [words[zlib.crc32(word.encode()) % len(words)] for word in prompt.split()]

    def generate(self, batch: Batch) -> ParrotGeneration:
        """Answer step by step; each step adds one token to every prompt of the batch."""
        start_s = time.perf_counter()
        cache = self._prefix_cache
        n_cached = [0 if cache is None else cache.read(prompt) for prompt in batch.inputs]
        heard = [list(prompt) for prompt in batch.inputs]
        times_s = []
        for _ in range(self._config.max_output_tokens):
            if not self._step(heard, batch):
                break
            times_s.append(time.perf_counter() - start_s)
        rows = [all_[n:] for all_, n in zip(heard, batch.lengths, strict=True)]
        return ParrotGeneration(rows, times_s, n_cached)

    def _step(self, heard: list[list[int]], batch: Batch) -> bool:
        """Add one token to every unfinished answer; return whether there was one."""
        unfinished = [
            tokens
            for tokens, n_prompt in zip(heard, batch.lengths, strict=True)
            if self._config.decoder.ignore_eos or len(tokens) == n_prompt or tokens[-1] != _END
        ]
        for tokens in unfinished:
            tokens.append(self._loaded.next(tokens, self._chance))
        return bool(unfinished)

    def phase(self, name: PhaseName, batch: Batch) -> Phase:
        """Return a phase: prefill chooses the first token, decode all later tokens."""
        max_tokens = self._config.max_output_tokens
        start = [list(prompt) for prompt in batch.inputs]
        if name == "prefill":
            n_tokens, n_steps = sum(batch.lengths), 1
        else:
            n_tokens, n_steps = batch.n_prompts * (max_tokens - 1), max_tokens - 1
            for tokens in start:
                tokens.append(self._loaded.next(tokens, self._chance))

        def run() -> None:
            heard = [list(tokens) for tokens in start]
            for _ in range(n_steps):
                for tokens in heard:
                    tokens.append(self._loaded.next(tokens, self._chance))

        return Phase(name, run, n_tokens, batch.n_prompts)

    def synchronise(self) -> None:
        """Return at once: nothing runs in the background."""

    def seed(self) -> None:
        """Seed the random choice of tokens again."""
        sampled = self._config.decoder.do_sample
        self._chance = random.Random(self._config.random_seed) if sampled else None

    def clear_prefix_cache(self) -> bool:
        """Forget all prompts; return False if the cache is permanent."""
        if self._prefix_cache is None or self._options.prefix_cache == "permanent":
            return self._prefix_cache is None
        self._prefix_cache.clear()
        return True

    def reset_peak_memory(self) -> None:
        """Do nothing: memory is not measured."""

    def memory(self) -> Memory:
        """Return that the memory is unknown, rather than 0."""
        return Memory(None, None, "not measured: a parrot has no weights")

    def flops(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> None:
        """Return None: there are no floating-point operations."""

    def compilations(self) -> int:
        """Return 0: nothing is compiled."""
        return 0

    def effective_config(self) -> dict[str, Any]:
        """Return the settings that the parrot uses, read from the parrot."""
        return {
            "n_tokens": self._loaded.n_tokens,
            "memory": self._loaded._memory,
            "playful": self._loaded._playful,
            "batch_size": self._options.batch_size or 1,
            "sampled": self._chance is not None,
            "prefix_cache": self._prefix_cache is not None,
        }

    def warnings(self) -> tuple[str, ...]:
        """Return nothing: the parrot that was loaded is the one in the file."""
        return ()

    def close(self) -> None:
        """Release the parrot."""
        self._parrot = self._prefix_cache = None
