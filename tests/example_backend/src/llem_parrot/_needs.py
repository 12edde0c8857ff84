"""What the parrot needs of a machine. Pre-flight asks, so nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterator

from llem_config import ExperimentConfig


def needs(config: ExperimentConfig, *, has_gpu: bool) -> Iterator[str]:
    """Yield a sentence for everything that an experiment asks for and cannot have here."""
    del has_gpu  # a parrot does without
    if not config.model.startswith("builtin:"):
        yield f"the parrot takes its vocabulary from a builtin model, found {config.model!r}"
