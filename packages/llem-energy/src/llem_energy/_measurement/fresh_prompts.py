"""Prompts for the warm-up and for each pass of the window, so that none is answered twice.

An inference library may keep what it computed for a prompt, and skip the same tokens at the start
of a later one. Then a repeated prompt costs less than a new one. So the warm-up and, for a
synthetic data set, each further pass of the window have token ids of their own, in prompts of the
same lengths at the same positions: the batches have the same shapes, so nothing is compiled or
padded differently. The prompts of any other data set are measured as they are; when a pass repeats
them, the backend empties its cache first, if it can.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence

from llem_config import ExperimentConfig
from llem_energy._backends.prefix_cache import clear_prefix_cache
from llem_energy._backends.protocol import Backend, Batch, ChecksLogits, Generation, Workload
from llem_energy._errors import BackendError
from llem_energy._prompts.synthetic import SYNTHETIC, other_prompts

# Of all passes together: 32 MB as two tensors of 8-byte integers, prepared in a second.
_MAX_TOKENS = 2**21
_BATCH_TOKENS = 128  # a batch takes as long to prepare as this many tokens
_MARGIN = 1.5  # the window may be faster than the warm-up
_CHEAP_MARGIN = 10  # another program may have delayed all batches of the warm-up
_CHEAP_TOKENS = 2**17  # of all passes together: prepared in less than 0.1 s
_UNTIMED_PASSES = 8  # if there was no warm-up


class FreshPrompts:
    """Prepares workloads of the shapes of an experiment with other prompts."""

    def __init__(self, config: ExperimentConfig, backend: Backend, measured: Workload) -> None:
        """Prepare.

        Args:
            config: the experiment.
            backend: with its model loaded.
            measured: the prompts of the experiment, as the backend prepared them.
        """
        self._config = config
        self._backend = backend
        self._measured = measured
        self._lengths = _lengths(measured)

    def warm_up(self) -> tuple[Batch, ...]:
        """Return one batch of each shape, the first shape of the workload first."""
        by_shape: dict[tuple[int, int], Batch] = {}
        for batch in self._drawn("warm-up").batches:
            by_shape.setdefault(batch.shape, batch)
        return tuple(by_shape.values())

    def passes(self, min_window_s: float, fastest_batch_s: float | None) -> tuple[Workload, ...]:
        """Return the measured workload and as many others as the window may need.

        Args:
            min_window_s: minimum duration of the window.
            fastest_batch_s: of the warm-up; None without a warm-up.
        """
        n_passes = self._n_passes(min_window_s, fastest_batch_s)
        others = (self._drawn(f"pass {number}") for number in range(2, n_passes + 1))
        return (self._measured, *others)

    def _n_passes(self, min_window_s: float, fastest_batch_s: float | None) -> int:
        if self._config.dataset.source != SYNTHETIC or min_window_s == 0:
            return 1
        n_batches = len(self._measured.batches)
        n_tokens = sum(self._lengths) + n_batches * _BATCH_TOKENS
        n_needed = _UNTIMED_PASSES
        if fastest_batch_s:
            n_expected = min_window_s / (n_batches * fastest_batch_s)
            n_cheap = min(math.ceil(_CHEAP_MARGIN * n_expected), _CHEAP_TOKENS // n_tokens)
            n_needed = max(math.ceil(_MARGIN * n_expected), n_cheap)
        return max(1, min(n_needed, _MAX_TOKENS // n_tokens))

    def _drawn(self, purpose: str) -> Workload:
        vocabulary, seed = self._backend.vocabulary(), self._config.random_seed
        prompts = other_prompts(self._lengths, vocabulary, seed, purpose)
        workload = self._backend.prepare(prompts)
        if _shapes(workload) != _shapes(self._measured):
            raise BackendError(
                f"expected the {self._config.backend} backend to prepare prompts of the same "
                "lengths as batches of the same shapes, found other shapes; its `prepare` must "
                "depend on nothing else"
            )
        return workload


class WindowWork:
    """The work of the window: one pass for each call."""

    def __init__(
        self,
        backend: Backend,
        passes: Sequence[Workload],
        pause: Callable[[], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            backend: with its model loaded.
            passes: of the same shapes; they are repeated if the window needs more.
            pause: called after each batch, when the device has finished it; None calls nothing.
        """
        self._backend = backend
        self._pause = pause
        self._passes = passes
        self._n_done = 0
        self.generated: list[tuple[Batch, Generation]] = []

    def __call__(self) -> None:
        """Generate the output of the next pass."""
        n_repeated, index = divmod(self._n_done, len(self._passes))
        if n_repeated and index == 0:
            clear_prefix_cache(self._backend)
        generate = self._backend.generate
        for batch in self._passes[index].batches:
            self.generated.append((batch, generate(batch)))
            if self._pause is not None:
                self._backend.synchronise()
                self._pause()
        self._n_done += 1


class RandomPause:
    """Waits for a random time, so that steps of the model do not keep pace with a meter.

    Between two pauses the place of the steps within the meter's period stays; each pause changes it.
    The same bias in every run then becomes a spread between runs.
    """

    def __init__(
        self,
        longest_s: float,
        sleep: Callable[[float], object] = time.sleep,
        seed: int | None = None,
    ) -> None:
        """Prepare.

        Args:
            longest_s: of a pause; lengths are drawn evenly from 0 to this.
            sleep: waits for this many seconds.
            seed: None draws other lengths in each run, without which runs would have the same bias.
        """
        self._longest_s = longest_s
        self._sleep = sleep
        self._random = random.Random(seed)

    def __call__(self) -> None:
        """Wait."""
        self._sleep(self._random.uniform(0.0, self._longest_s))


class WarmUpWork:
    """Generates the batches of the warm-up, none of them from a cache."""

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        """Prepare.

        Args:
            backend: with its model loaded.
            clock: monotonic seconds.
        """
        self._backend = backend
        self._clock = clock
        self.fastest_s: float | None = None
        """Duration of the fastest batch so far."""

    def __call__(self, batch: Batch) -> float:
        """Generate the output of one batch and return the seconds it took.

        Raises:
            BackendError: its logits are no numbers.
        """
        clear_prefix_cache(self._backend)
        start_s = self._clock()
        generation = self._backend.generate(batch)
        self._backend.synchronise()
        duration_s = self._clock() - start_s
        if isinstance(generation, ChecksLogits):
            generation.check_logits()
        self.fastest_s = min(duration_s, self.fastest_s or duration_s)
        return duration_s


def _lengths(workload: Workload) -> list[int]:
    """Return the tokens of each prompt, in the order of the data set."""
    lengths: dict[int, int] = {}
    for batch in workload.batches:
        places = batch.prompt_indices or range(len(lengths), len(lengths) + batch.n_prompts)
        lengths.update(zip(places, batch.lengths, strict=True))
    return [lengths[place] for place in sorted(lengths)]


def _shapes(workload: Workload) -> list[tuple[tuple[int, int], tuple[int, ...]]]:
    return [(batch.shape, batch.lengths) for batch in workload.batches]
