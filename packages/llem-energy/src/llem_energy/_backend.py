"""What `measure` needs from an inference library, and how one is found by name.

A backend is a class that an installed package names in the entry-point group `llem.backends`; it
is called with the experiment's configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol

import msgspec

from llem_config import ExperimentConfig
from llem_energy._errors import BackendError
from llem_energy._results import Flops

GROUP = "llem.backends"
Prompt = str | tuple[int, ...]
"""Text, or token ids where no tokenizer is needed."""


class Batch(msgspec.Struct, frozen=True):
    """Prompts that are answered together, ready on the device."""

    n_prompts: int
    shape: tuple[int, int]
    """Prompts and tokens per prompt, padding included: what a compiled kernel depends on."""
    lengths: tuple[int, ...]
    """Tokens of each prompt, padding left out."""
    inputs: Any
    """The backend's own tensors."""


class Workload(msgspec.Struct, frozen=True):
    """One pass over the data set."""

    batches: tuple[Batch, ...]
    n_truncated: int


class Answer(Protocol):
    """The answers to one batch, still on the device; looked into only after the window."""

    def n_tokens(self) -> tuple[int, ...]:
        """Return the output tokens of each prompt: no padding, nothing after the end."""

    def token_times_s(self) -> tuple[float, ...] | None:
        """Return when each step's token was there, in seconds since the batch began.

        None where the way of decoding has no such steps.
        """


class Memory(msgspec.Struct, frozen=True):
    """Memory of the model and of the window, in bytes; None where it cannot be told."""

    peak_bytes: int | None
    weights_bytes: int | None
    method: str


class Backend(Protocol):
    """An inference library with one model; it knows nothing of energy."""

    def open(self) -> tuple[str, ...]:
        """Take the device and create its context; return the UUIDs of the GPUs used."""

    def load(self) -> None:
        """Put the model on the device; seconds to minutes, outside the measured window."""

    def vocabulary(self) -> range:
        """Return the token ids that synthetic prompts are drawn from."""

    def prepare(self, prompts: Sequence[Prompt]) -> Workload:
        """Tokenise, cut, batch and pad the prompts, and move them to the device."""

    def generate(self, batch: Batch) -> Answer:
        """Answer one batch with the experiment's own generation arguments."""

    def synchronise(self) -> None:
        """Return when the device has finished everything asked so far."""

    def seed(self) -> None:
        """Set every random generator of the library to the experiment's seed."""

    def reset_peak_memory(self) -> None:
        """Start counting the peak memory afresh."""

    def memory(self) -> Memory:
        """Return the peak since `reset_peak_memory`, and the weights' share."""

    def flops(self, input_tokens: int, output_tokens: int) -> Flops | None:
        """Return the operations of answering one prompt of this length at this length."""

    def effective_config(self) -> dict[str, Any]:
        """Return what was really used, read back from the library: JSON types only."""

    def close(self) -> None:
        """Free the device's memory; safe to call twice and after a failed `load`."""


def backend_names() -> tuple[str, ...]:
    """Return the backends that installed packages offer."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def find_backend(config: ExperimentConfig) -> Backend:
    """Return a new backend for an experiment; nothing is loaded yet.

    Raises:
        BackendError: no installed package offers it, or its library is missing.
    """
    for point in entry_points(group=GROUP, name=config.backend):
        try:
            factory = point.load()
        except ImportError as error:
            raise BackendError(
                f"the {config.backend} backend needs {error.name}; "
                f"install it with `pip install 'llem-energy[{config.backend}]'`"
            ) from error
        backend: Backend = factory(config)
        return backend
    known = ", ".join(backend_names()) or "none"
    raise BackendError(f"no installed package offers the backend {config.backend}; found: {known}")


def preload(config: ExperimentConfig) -> None:
    """Import everything the experiment will need, without touching GPU or model.

    A worker calls this while the gap before its run still passes. It may ignore whatever this
    raises: the run will meet the same again.
    """
    for point in entry_points(group=GROUP, name=config.backend):
        factory = point.load()
        warm = getattr(factory, "preload", None)
        if warm is not None:
            warm(config)
