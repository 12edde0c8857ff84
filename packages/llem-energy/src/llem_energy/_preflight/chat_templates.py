"""Checks whether the chat templates of experiments can render the conversations of a data set."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import msgspec

from llem_config import ExperimentConfig
from llem_config.foreign_files import ForeignFileError, read_json
from llem_energy._backends.registry import facts_of
from llem_energy._hub import model_folder
from llem_energy._preflight.findings import Finding, findings
from llem_energy._prompts.examine import RowProblem
from llem_energy._prompts.prompt import Chat
from llem_energy._prompts.synthetic import SYNTHETIC

_MAX_CONFIG_BYTES = 2**26


class ChatSpool:
    """Conversations in a temporary file: a data set may be larger than the memory."""

    def __init__(self) -> None:
        self.n = 0
        self._file = tempfile.SpooledTemporaryFile(max_size=2**20)  # noqa: SIM115  # closed in exit

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, prompt: str | Chat) -> None:
        """Keep a conversation; text needs no template and is not kept."""
        if isinstance(prompt, Chat):
            self._file.write(msgspec.json.encode(prompt) + b"\n")
            self.n += 1

    def first(self, n: int) -> Iterator[Chat]:
        """Yield the first `n` conversations."""
        self._file.seek(0)
        for _, line in zip(range(n), self._file, strict=False):
            yield msgspec.json.decode(line, type=Chat)


def chat_findings(
    experiments: Sequence[ExperimentConfig], group: Sequence[int], chats: ChatSpool, where: str
) -> Iterator[tuple[RowProblem, list[int]]]:
    """Yield why templates cannot render conversations, with the experiments that it concerns.

    Args:
        experiments: all of a study, with full paths.
        group: indices of those that use the data set.
        chats: the conversations of the rows, one for each row.
        where: the name of the data set, for messages.
    """
    same_model: dict[object, list[int]] = {}
    for point in group:
        config = experiments[point]
        key = config.backend, facts_of(config.backend).models(config)
        same_model.setdefault(key, []).append(point)
    for points in same_model.values():
        longest = max(points, key=lambda point: experiments[point].n)
        config = experiments[longest]
        for problem in facts_of(config.backend).chat_problems(config, chats.first(config.n)):
            in_row = problem.is_in_row
            message = f"{where}: {problem.message}" if in_row else problem.message
            concerned = [point for point in points if experiments[point].n > problem.index]
            yield (
                RowProblem(problem.index + 1, message, is_in_row=in_row, is_in_data=in_row),
                concerned,
            )


def missing_templates(experiments: Sequence[ExperimentConfig]) -> tuple[Finding, ...]:
    """Return one finding for each model with a chat template that is measured on raw text.

    A data set whose prompts are messages is no such case, but only reading it shows that.
    """
    points: dict[str, list[int]] = {}
    for point, config in enumerate(experiments):
        dataset = config.dataset
        if dataset.source == SYNTHETIC or dataset.chat_template is not None:
            continue
        model = facts_of(config.backend).models(config)[0]
        if _has_template(model_folder(model.name, model.revision)):
            message = (
                f"the model {model.name} has a chat template: text of the data set is read without "
                "it, messages with it; set `dataset.chat_template` to auto or none to choose"
            )
            points.setdefault(message, []).append(point)
    return findings(points)


def _has_template(folder: Path | None) -> bool:
    """Return whether the tokenizer in a model's folder has a chat template."""
    if folder is None:
        return False
    if (folder / "chat_template.jinja").is_file():
        return True
    try:
        data = read_json(folder / "tokenizer_config.json", max_bytes=_MAX_CONFIG_BYTES)
    except ForeignFileError:
        return False
    return bool(data.get("chat_template"))
