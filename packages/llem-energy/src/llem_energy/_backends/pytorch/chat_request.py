"""Renders conversations in a process of their own, with limits on its time and memory.

A chat template is a program that came with a model or from another person. transformers runs it in
a sandbox without access to files, but the sandbox limits neither time nor memory. Does not import
torch: the pre-flight checks use this file too.
"""

from __future__ import annotations

import array
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from typing import IO

import msgspec

from llem_config import ExperimentConfig
from llem_energy._backends.pytorch.section import section
from llem_energy._errors import BackendError, DatasetError
from llem_energy._prompts.prompt import Chat, ChatProblem, ChatTemplate, RenderedChats
from llem_energy._prompts.template_files import read_template, template_file

MAX_ROW_S = 10.0
"""Processor time for one conversation; usual templates need about a millisecond."""
MAX_PROBLEMS = 10
IDS = "I"
"""The type code of token ids in an `array`."""

WITHOUT_TEMPLATE = (
    "the model {model} has a chat template, but it was measured on the text of the data set without "
    "it; set `dataset.chat_template` to auto, or to none if this is intended"
)

_MODULE = "llem_energy._backends.pytorch.chat_process"
_BASE_TIMEOUT_S, _ROW_TIMEOUT_S = 600.0, 0.1


class ChatTask(msgspec.Struct, frozen=True, kw_only=True):
    """What the process renders; the conversations follow, one a line."""

    model: str
    revision: str | None
    trust_remote_code: bool
    template: str | None
    """The text of a file; None takes the template of the tokenizer."""
    file: str | None
    """The path of that file, for messages."""
    max_row_s: float
    """Processor time for one conversation."""
    is_check: bool
    """Whether only problems are of interest, and only files on this machine may be used."""

    @property
    def whose(self) -> str:
        """Return what is after `the chat template` in a message."""
        return self.file or f"of {self.model}"


class _RowError(BackendError):
    """The process ended while it rendered one conversation."""

    def __init__(self, index: int, problem: str) -> None:
        super().__init__(f"row {index + 1}: {problem}")
        self.index = index


class ChatReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the process's answer; one of the fields is set."""

    started: int | None = None
    """Index of the conversation that is rendered next."""
    template: ChatTemplate | None = None
    problem: ChatProblem | None = None
    failure: str | None = None
    """Why nothing can be rendered."""
    ids: bytes | None = None
    """The token ids of the next conversation."""
    is_end: bool = False


def render(config: ExperimentConfig, chats: Sequence[Chat]) -> RenderedChats:
    """Return the token ids of conversations.

    Raises:
        BackendError: one cannot be rendered; the message begins with its place.
        DatasetError: the template cannot be read.
    """
    reports = _run(config, chats, is_check=False)
    for report in reports:
        if report.problem is not None:
            raise BackendError(report.problem.message)
    (template,) = (report.template for report in reports if report.template is not None)
    prompts = tuple(
        tuple(array.array(IDS, report.ids)) for report in reports if report.ids is not None
    )
    return RenderedChats(prompts, template)


def problems(config: ExperimentConfig, chats: Iterable[Chat]) -> list[ChatProblem]:
    """Return why conversations cannot be rendered; the tokenizer must be on this machine."""
    try:
        reports = _run(config, chats, is_check=True)
    except _RowError as error:
        return [ChatProblem(error.index, str(error), is_in_row=True)]
    except (BackendError, DatasetError) as error:
        return [ChatProblem(0, str(error))]
    return [report.problem for report in reports if report.problem is not None]


def _run(config: ExperimentConfig, chats: Iterable[Chat], *, is_check: bool) -> list[ChatReport]:
    options, path = section(config), template_file(config.dataset)
    task = ChatTask(
        model=config.model,
        revision=options.revision,
        trust_remote_code=bool(options.trust_remote_code),
        template=None if path is None else read_template(path),
        file=None if path is None else str(path),
        max_row_s=MAX_ROW_S,
        is_check=is_check,
    )
    with tempfile.TemporaryFile() as work, tempfile.TemporaryFile() as log:
        work.write(msgspec.json.encode(task) + b"\n")
        n_chats = 0
        for chat in chats:
            work.write(msgspec.json.encode(chat) + b"\n")
            n_chats += 1
        work.seek(0)
        reports, ending = _answers(work, log, _BASE_TIMEOUT_S + _ROW_TIMEOUT_S * n_chats)
    for report in reports:
        if report.failure is not None:
            raise BackendError(report.failure)
    if not reports or not reports[-1].is_end:
        started = [report.started for report in reports if report.started is not None]
        problem = f"the chat template {task.whose} cannot be applied: {ending}"
        if started:
            raise _RowError(started[-1], problem)
        raise BackendError(problem)
    return reports


def _answers(work: IO[bytes], log: IO[bytes], timeout_s: float) -> tuple[list[ChatReport], str]:
    """Return what the process answered, and how it ended."""
    # It needs no GPU, and a context on one would change the idle power.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE],
        stdin=work,
        stdout=subprocess.PIPE,
        stderr=log,
        env=environment,
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            ending = f"it took more than {timeout_s:.0f} s; correct the template"
        else:
            ending = _ending(process.returncode, log)
        finally:
            process.kill()
    lines = output.split(b"\n")[:-1]  # without an incomplete last line
    return [msgspec.json.decode(line, type=ChatReport) for line in lines], ending


def _ending(code: int, log: IO[bytes]) -> str:
    if code == -signal.SIGXCPU:
        return f"it took more than {MAX_ROW_S:.0f} s of processor time; correct the template"
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - 1000))
    lines = log.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"its process ended with {how}: {last}"
