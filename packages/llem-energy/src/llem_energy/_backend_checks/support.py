"""What every check needs: a loaded backend, its answers, and the error of a broken rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llem_config import ExperimentConfig
from llem_energy._backends.protocol import Backend, Batch, Generation, Workload
from llem_energy._backends.registry import find_backend
from llem_energy._prompts.load import load_prompts
from llem_energy._prompts.prompt import Prompt

Check = Callable[[ExperimentConfig], None]


class BackendCheckFailed(AssertionError):  # noqa: N818  # reads like a sentence
    """A backend does not do what the protocol requires; the message says what."""


def expect(condition: bool, message: str) -> None:
    """Raise BackendCheckFailed with the message unless the condition holds."""
    if not condition:
        raise BackendCheckFailed(message)


@contextmanager
def ready(config: ExperimentConfig) -> Iterator[tuple[Backend, list[Prompt], Workload]]:
    """Yield a loaded backend, the prompts and the workload; close the backend afterwards."""
    backend = find_backend(config)
    try:
        backend.open()
        backend.load()
        prompts = load_prompts(config, backend.vocabulary())
        workload = backend.prepare(prompts)
        backend.seed()
        yield backend, list(prompts), workload
    finally:
        backend.close()


def generate_all(backend: Backend, workload: Workload) -> list[tuple[Batch, Generation]]:
    """Generate the output of every batch; return when the device has finished."""
    generations = [(batch, backend.generate(batch)) for batch in workload.batches]
    backend.synchronise()
    return generations
