"""What a backend reports about its work. An error in it must not lose what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from llem_energy._backends.extra_tokens import padding_tokens, tokens_after_end
from llem_energy._backends.prefix_cache import cached_input_tokens
from llem_energy._backends.protocol import Backend, Batch, ChecksLogits, Generation, Memory
from llem_energy._backends.registry import process_ids
from llem_energy._backends.roofline import ReportsTraffic
from llem_energy._measurement.raw_measurement import GenerationRecord
from llem_energy._model_info.flops import Flops
from llem_energy._model_info.traffic import Traffic

_Answer = TypeVar("_Answer")


class BackendReports:
    """Calls a backend; if a method fails, the answer is unknown and `problems` has the reason."""

    def __init__(self, backend: Backend, name: str) -> None:
        """Prepare.

        Args:
            backend: still open.
            name: of the backend, for the sentences.
        """
        self._backend = backend
        self._name = name
        self._problems: dict[str, str] = {}

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each method that failed."""
        return tuple(self._problems.values())

    def process_ids(self) -> tuple[int, ...]:
        """Return the processes that the backend names; () if it cannot."""
        return self._answer("process_ids", lambda: _ids(process_ids(self._backend)), ())

    def memory(self) -> Memory:
        """Return the memory; unknown if the backend cannot report it."""
        unknown = Memory(None, None, "unknown")
        return self._answer("memory", self._backend.memory, unknown)

    def compilations(self) -> int | None:
        """Return how often code was compiled; None if unknown."""
        return self._answer("compilations", self._backend.compilations, None)

    def generation(self, batch: Batch, generation: Generation) -> GenerationRecord:
        """Return token counts and times of a batch; without its counts there is no result.

        Raises:
            BackendError: its logits are no numbers.
        """
        if isinstance(generation, ChecksLogits):
            generation.check_logits()
        return GenerationRecord(
            batch,
            generation.n_tokens(),
            self._answer("token_times_s", generation.token_times_s, None),
            self._answer("cached_input_tokens", lambda: cached_input_tokens(generation), None),
            self._answer("padding_tokens", lambda: padding_tokens(generation), None),
            self._answer("tokens_after_end", lambda: tokens_after_end(generation), None),
        )

    def flops(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> Flops | None:
        """Return the operations for one prompt and its output; None if unknown."""
        lengths = (input_tokens, output_tokens, cached_tokens)
        return self._answer("flops", lambda: _flops(self._backend.flops(*lengths)), None)

    def traffic(self) -> Traffic | None:
        """Return the sizes from which bytes are counted; None if unknown."""
        return self._answer("traffic", lambda: _traffic(self._backend), None)

    def effective_config(self) -> dict[str, Any]:
        """Return the options that are really in use; {} if they are unknown."""
        return self._answer(
            "effective_config", lambda: _plain(self._backend.effective_config()), {}
        )

    def warnings(self) -> tuple[str, ...]:
        """Return the warnings of the backend; () if it cannot report them."""
        return self._answer("warnings", lambda: _sentences(self._backend.warnings()), ())

    def _answer(self, method: str, answer: Callable[[], _Answer], unknown: _Answer) -> _Answer:
        try:
            return answer()
        except Exception as error:  # noqa: BLE001  # of a library or of another package
            text = " ".join(str(error).split())
            self._problems[method] = (
                f"the backend {self._name} could not report {method}: "
                f"{type(error).__name__}: {text}"
            )
        return unknown


def _ids(answer: Iterable[Any]) -> tuple[int, ...]:
    ids = tuple(answer)
    if not all(isinstance(pid, int) and not isinstance(pid, bool) and pid > 0 for pid in ids):
        raise TypeError(f"expected ids of processes, found {ids!r}")
    return ids


def _flops(answer: Any) -> Flops | None:
    if answer is not None and not isinstance(answer, Flops):
        raise TypeError(f"expected Flops or None, found {answer!r}")
    return answer


def _traffic(backend: Backend) -> Traffic | None:
    answer = backend.traffic() if isinstance(backend, ReportsTraffic) else None
    if answer is not None and not isinstance(answer, Traffic):
        raise TypeError(f"expected Traffic or None, found {answer!r}")
    return answer


def _plain(answer: Any) -> dict[str, Any]:
    """Return a mapping that JSON can hold unchanged."""
    if not isinstance(answer, dict):
        raise TypeError(f"expected a mapping, found {answer!r}")
    json.dumps(answer, allow_nan=False)
    return answer


def _sentences(answer: Any) -> tuple[str, ...]:
    if isinstance(answer, str) or not all(isinstance(each, str) for each in answer):
        raise TypeError(f"expected a list of sentences, found {answer!r}")
    return tuple(answer)
