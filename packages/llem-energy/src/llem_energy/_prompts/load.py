"""Loads the prompts of an experiment, and computes their fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import msgspec

from llem_config import DatasetConfig, ExperimentConfig
from llem_energy._errors import DatasetError
from llem_energy._prompts.examine import examine
from llem_energy._prompts.prompt import Chat, Prompt
from llem_energy._prompts.synthetic import SYNTHETIC, synthetic_problem, synthetic_prompts


class LoadedPrompts(msgspec.Struct, frozen=True):
    """The prompts of an experiment and where they come from."""

    prompts: tuple[Prompt, ...]
    """() if the data set has conversations."""
    chats: tuple[Chat, ...] = ()
    chosen_column: str | None = None
    """The column that was read because of its name; None if the experiment names it."""


def load(config: ExperimentConfig, vocabulary: range) -> LoadedPrompts:
    """Return the `n` prompts of an experiment, with the column that was chosen for them.

    Args:
        config: the experiment.
        vocabulary: token ids from which synthetic prompts are drawn.

    Raises:
        DatasetError: the data set has not `n` prompts that can be read.
    """
    dataset = config.dataset
    if dataset.source == SYNTHETIC:
        problem = synthetic_problem(config)
        if problem is not None:
            raise DatasetError(problem)
        return LoadedPrompts(synthetic_prompts(config, vocabulary))
    prompts: list[str | Chat] = []
    examination = examine(dataset, config.n, prompts)
    problems = examination.problems_of(config.n)
    if problems:
        rest = f" (the first of {len(problems)} problems)" if len(problems) > 1 else ""
        raise DatasetError(problems[0] + rest)
    return LoadedPrompts(
        prompts=tuple(prompt for prompt in prompts if isinstance(prompt, str)),
        chats=tuple(prompt for prompt in prompts if isinstance(prompt, Chat)),
        chosen_column=None if dataset.column else examination.column,
    )


def load_prompts(config: ExperimentConfig, vocabulary: range) -> tuple[Prompt, ...]:
    """Return the `n` prompts of an experiment, none of which is a conversation.

    Raises:
        DatasetError: as in `load`.
    """
    return load(config, vocabulary).prompts


def fingerprint(prompts: Sequence[Prompt | Chat]) -> str:
    """Return the SHA-256 of the prompts; it depends on their content and order.

    A chat template does not change it: the result has the hash of the template separately.
    """
    digest = hashlib.sha256()
    for prompt in prompts:
        content = prompt.content() if isinstance(prompt, Chat) else prompt
        digest.update(json.dumps(content, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def read_prompts(dataset: DatasetConfig, n: int) -> tuple[str, ...]:
    """Return the first `n` prompts of a local file, a folder in the hub's layout, or a hub id.

    Raises:
        DatasetError: as in `load`.
    """
    prompts: list[str | Chat] = []
    problems = examine(dataset, n, prompts).problems_of(n)
    if problems:
        raise DatasetError(problems[0])
    return tuple(prompt for prompt in prompts if isinstance(prompt, str))
