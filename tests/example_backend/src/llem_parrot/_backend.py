"""The backend: everything that llem asks of an inference library, for the parrot."""

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

_END = 2
_PAD = 0


class ParrotGeneration:
    """The answers to one batch."""

    def __init__(self, rows: list[list[int]], times_s: list[float]) -> None:
        self.rows = rows
        self._times_s = times_s

    def n_tokens(self) -> tuple[int, ...]:
        """Return the tokens of each answer; no padding is kept, so they only need counting."""
        return tuple(len(row) for row in self.rows)

    def token_times_s(self) -> tuple[float, ...]:
        """Return when each step was done."""
        return tuple(self._times_s)


class ParrotBackend:
    """One parrot, on the CPU or beside a GPU."""

    def __init__(self, config: ExperimentConfig) -> None:
        self._config = config
        self._options = options_of(config)
        self._gpus: tuple[str, ...] = ()
        self._parrot: Parrot | None = None
        self._chance: random.Random | None = None

    def open(self) -> tuple[str, ...]:
        """Return the GPU that is occupied, whose energy is then measured; () on the CPU."""
        self._gpus = gpu_uuids()[:1] if self._options.device == "gpu" else ()
        return self._gpus

    def load(self) -> None:
        """Hatch the parrot with the vocabulary of the model."""
        if missing := [*ParrotFacts().requirements(self._config, has_gpu=bool(self._gpus))]:
            raise BackendError("; ".join(missing))
        shape = builtin_architecture(self._config.model) or {}
        playful = self._options.mood == "playful"
        self._parrot = Parrot(int(shape["vocab_size"]), self._options.memory, playful=playful)
        self.seed()

    @property
    def _loaded(self) -> Parrot:
        if self._parrot is None:
            raise BackendError("the parrot is not loaded")
        return self._parrot

    def vocabulary(self) -> range:
        """Return every token but the special ones."""
        return range(8, self._loaded.n_tokens)

    def prepare(self, prompts: Sequence[Prompt]) -> Workload:
        """Cut and batch; a parrot needs no padding, but the shape says what a batch spans."""
        most = self._config.max_input_tokens
        ids = [self._ids(prompt) for prompt in prompts]
        cut = [list(one[:most]) for one in ids]
        size = self._options.batch_size or 1
        groups = [cut[start : start + size] for start in range(0, len(cut), size)]
        batches = tuple(
            Batch(
                n_prompts=len(group),
                shape=(len(group), max(len(one) for one in group)),
                lengths=tuple(len(one) for one in group),
                inputs=group,
            )
            for group in groups
        )
        return Workload(batches, sum(len(one) > most for one in ids))

    def _ids(self, prompt: Prompt) -> Sequence[int]:
        if not isinstance(prompt, str):
            return prompt
        words = self.vocabulary()
        return [words[zlib.crc32(word.encode()) % len(words)] for word in prompt.split()]

    def generate(self, batch: Batch) -> ParrotGeneration:
        """Answer step by step, every prompt of the batch in turn."""
        start_s = time.perf_counter()
        heard = [list(prompt) for prompt in batch.inputs]
        times_s = []
        for _ in range(self._config.max_output_tokens):
            if not self._step(heard, batch):
                break
            times_s.append(time.perf_counter() - start_s)
        rows = [all_[n:] for all_, n in zip(heard, batch.lengths, strict=True)]
        return ParrotGeneration(rows, times_s)

    def _step(self, heard: list[list[int]], batch: Batch) -> bool:
        """Add one token to every answer that goes on; tell whether there was one."""
        going = [
            one
            for one, n_prompt in zip(heard, batch.lengths, strict=True)
            if self._config.decoder.ignore_eos or len(one) == n_prompt or one[-1] != _END
        ]
        for one in going:
            one.append(self._loaded.next(one, self._chance))
        return bool(going)

    def phase(self, name: PhaseName, batch: Batch) -> Phase:
        """Reading is choosing the first token; decoding is every token after it."""
        most = self._config.max_output_tokens
        start = [list(prompt) for prompt in batch.inputs]
        if name == "prefill":
            n_tokens, n_steps = sum(batch.lengths), 1
        else:
            n_tokens, n_steps = batch.n_prompts * (most - 1), most - 1
            for one in start:
                one.append(self._loaded.next(one, self._chance))

        def run() -> None:
            heard = [list(one) for one in start]
            for _ in range(n_steps):
                for one in heard:
                    one.append(self._loaded.next(one, self._chance))

        return Phase(name, run, n_tokens, batch.n_prompts)

    def synchronise(self) -> None:
        """Return at once: a parrot has finished when it stops talking."""

    def seed(self) -> None:
        """Start its chance afresh."""
        sampled = self._config.decoder.do_sample
        self._chance = random.Random(self._config.random_seed) if sampled else None

    def reset_peak_memory(self) -> None:
        """Nothing is counted."""

    def memory(self) -> Memory:
        """Say that the memory is not known, rather than 0."""
        return Memory(None, None, "not measured: a parrot has no weights")

    def flops(self, input_tokens: int, output_tokens: int) -> None:
        """Return None: comparing tokens is no floating-point operation."""

    def compilations(self) -> int:
        """Return 0: nothing is compiled."""
        return 0

    def effective_config(self) -> dict[str, Any]:
        """Return what the parrot really does, read back from it."""
        return {
            "n_tokens": self._loaded.n_tokens,
            "memory": self._loaded._memory,
            "playful": self._loaded._playful,
            "batch_size": self._options.batch_size or 1,
            "sampled": self._chance is not None,
        }

    def close(self) -> None:
        """Let the parrot fly."""
        self._parrot = None
