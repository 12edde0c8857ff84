"""The output of `generate` for one batch: exact token counts and the time of each step."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from llem_energy._backends.protocol import Batch
from llem_energy._backends.pytorch.logits_check import LogitsCheck
from llem_energy._errors import BackendError


class StepClock:
    """Records when the token of each step was ready.

    `generate` calls it after each step, as a stopping criterion that never stops. On a GPU the host
    runs ahead of the device, so it records an event in the device's queue, which is read after the
    window.
    """

    def __init__(self, device: torch.device, n_prompts: int) -> None:
        self._on_gpu = device.type == "cuda"
        self._never = torch.zeros(n_prompts, dtype=torch.bool, device=device)
        self._marks: list[Any] = []
        self.n_rows = 0
        """Rows of the last step: prompts, or several for each prompt in beam search."""
        self._mark()

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        del scores, kwargs
        self._mark()
        self.n_rows = n_rows = input_ids.shape[0]
        return self._never if n_rows == len(self._never) else self._never[:1].expand(n_rows)

    @property
    def n_steps(self) -> int:
        """Steps so far; each computes every row, also those that have ended."""
        return len(self._marks) - 1

    def _mark(self) -> None:
        if self._on_gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def times_s(self) -> tuple[float, ...]:
        """Return the seconds from the start of the clock to each step; the device must be done."""
        first, *rest = self._marks
        if self._on_gpu:
            return tuple(first.elapsed_time(mark) / 1000 for mark in rest)
        return tuple(mark - first for mark in rest)


class TokenGeneration:
    """The output of one batch, read only after the window; see `Generation`."""

    def __init__(
        self,
        ids: Any,
        ends: Any,
        clock: StepClock | None,
        batch: Batch,
        logits: LogitsCheck,
        broken: Callable[[], BackendError],
    ) -> None:
        """Keep the output.

        Args:
            ids: new tokens of each prompt, padded to the longest output, on the device.
            ends: ids of the end tokens; None if they are ignored.
            clock: None if a step yields several tokens.
            batch: the prompts.
            logits: what looked at the logits of each step.
            broken: returns the error if these are no numbers.
        """
        self._ids = ids
        self._ends = ends
        self._clock = clock
        self._batch = batch
        self._logits = logits
        self._broken = broken

    def check_logits(self) -> None:
        """Return if the logits of every step are numbers; see `ChecksLogits`."""
        if not self._logits.is_passed():
            raise self._broken()

    def tokens(self) -> list[list[int]]:
        """Return the output of each prompt as token ids, its end token included."""
        return [row[:n] for row, n in zip(self._ids.tolist(), self.n_tokens(), strict=True)]

    def n_tokens(self) -> tuple[int, ...]:
        """Return the output tokens of each prompt, its end token included."""
        rows = self._ids.tolist()
        if self._ends is None:
            return tuple(len(row) for row in rows)
        ends = {self._ends} if isinstance(self._ends, int) else set(self._ends)
        # The end token is generated too; what follows it is padding.
        return tuple(
            next((i for i, token in enumerate(row, 1) if token in ends), len(row)) for row in rows
        )

    def token_times_s(self) -> tuple[float, ...] | None:
        """Return when each token was ready; None if a step yields several tokens."""
        return None if self._clock is None else self._clock.times_s()

    def cached_input_tokens(self) -> tuple[int, ...]:
        """Return 0 for each prompt: `generate` keeps no keys or values for a later call."""
        return (0,) * len(self._ids)

    def padding_tokens(self) -> tuple[int, ...]:
        """Return the padding of each prompt: `generate` computes it like any other token."""
        return tuple(self._batch.shape[1] - length for length in self._batch.lengths)

    def tokens_after_end(self) -> tuple[int, ...] | None:
        """Return the steps of each row after its end: `generate` computes all rows until the last ends.

        None if a step yields several tokens, or if a prompt has several rows (beam search), which
        take turns in being the output.
        """
        if self._clock is None or self._clock.n_rows != self._batch.n_prompts:
            return None
        return tuple(self._clock.n_steps - n for n in self.n_tokens())
