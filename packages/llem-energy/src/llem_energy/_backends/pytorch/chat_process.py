"""The process that renders conversations: `python -m llem_energy._backends.pytorch.chat_process`.

It reads a `ChatTask` and conversations from the standard input, one JSON value a line, and writes
`ChatReport`s to the standard output.
"""

from __future__ import annotations

import array
import hashlib
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

import jinja2
import jinja2.meta
import jinja2.sandbox
import msgspec

from llem_energy._backends.pytorch.chat_request import (
    IDS,
    MAX_PROBLEMS,
    ChatReport,
    ChatTask,
)
from llem_energy._backends.pytorch.loading import load_tokenizer_of
from llem_energy._errors import BackendError
from llem_energy._prompts.prompt import Chat, ChatProblem, ChatTemplate

_MEMORY_BYTES = 2 * 2**30
"""Beside the libraries, for one conversation and its prompt."""
_BYTES_PER_INPUT_BYTE = 16
_MAX_CHARACTERS = 2**26
"""Of one prompt."""
_DEFAULT = "default"


class _TooSlow(Exception):  # noqa: N818
    """A conversation takes too much processor time."""


def main() -> None:
    """Answer one task."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)  # libraries may print
        for report in _reports(sys.stdin.buffer):
            output.write(msgspec.json.encode(report) + b"\n")
            output.flush()


def _reports(work: IO[bytes]) -> Iterator[ChatReport]:
    task = msgspec.json.decode(work.readline(), type=ChatTask)
    try:
        tokenizer = load_tokenizer_of(
            task.model, task.revision, task.trust_remote_code, is_local=task.is_check
        )
        n_bytes = os.fstat(work.fileno()).st_size
        _limit_memory(_MEMORY_BYTES + (0 if task.is_check else _BYTES_PER_INPUT_BYTE * n_bytes))
        text, template = _chosen(task, tokenizer)
        with _limited_time(task.max_row_s):
            _check_template(text, task)
    except (BackendError, _TooSlow, MemoryError) as error:
        is_reason = isinstance(error, BackendError)
        yield ChatReport(failure=str(error) if is_reason else _reason(error))
        return
    yield ChatReport(template=template)
    n_problems = 0
    for index, line in enumerate(work):
        yield ChatReport(started=index)
        chat = msgspec.json.decode(line, type=Chat)
        try:
            with _limited_time(task.max_row_s):
                prompt = _rendered(tokenizer, text, chat)
            if not task.is_check:
                ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
                yield ChatReport(ids=array.array(IDS, ids).tobytes())
        except Exception as error:  # noqa: BLE001  # a template can raise anything
            yield ChatReport(problem=_problem(index, chat, error))
            n_problems += 1
            if n_problems == MAX_PROBLEMS or isinstance(error, _TooSlow | MemoryError):
                break
    yield ChatReport(is_end=True)


def _chosen(task: ChatTask, tokenizer: Any) -> tuple[str, ChatTemplate]:
    """Return the text of the template, and what the result says about it.

    Raises:
        BackendError: the tokenizer has none.
    """
    templates, name, text = tokenizer.chat_template, None, task.template
    if text is None:
        if isinstance(templates, dict):
            name = _DEFAULT
            text = templates.get(_DEFAULT)
        else:
            text = templates
    if text is None:
        has = f"only the chat templates {', '.join(sorted(templates))}" if name else "none"
        raise BackendError(
            f"expected a chat template in the tokenizer of {task.model}, found {has}; set "
            "`dataset.chat_template` to a file, or use a data set with text"
        )
    return text, ChatTemplate(
        sha256=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
        origin="tokenizer" if task.template is None else "file",
        name=name,
        uses_date="strftime_now" in text,
    )


def _check_template(text: str, task: ChatTask) -> None:
    """Return if a text is a template for messages.

    Raises:
        BackendError: it is not.
    """
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    try:
        names = jinja2.meta.find_undeclared_variables(environment.parse(text))
    except (jinja2.TemplateError, RecursionError) as error:
        line = f"line {error.lineno}: " if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise BackendError(
            f"the chat template {task.whose} is damaged: {line}{error}; correct it"
        ) from error
    if "messages" not in names:
        raise BackendError(
            f"the chat template {task.whose} does not use `messages`, so that every prompt would be the "
            "same; expected a Jinja template"
        )


class _Generation(jinja2.ext.Extension):
    """Accepts the tag `generation`, which marks answers for training."""

    tags = {"generation"}  # noqa: RUF012  # as the library declares it

    def parse(self, parser: Any) -> Any:
        """Return the content of the tag."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


def _rendered(tokenizer: Any, template: str, chat: Chat) -> str:
    prompt = tokenizer.apply_chat_template(
        list(chat.messages),
        tools=list(chat.tools) or None,
        chat_template=template,
        add_generation_prompt=True,
        tokenize=False,
    )
    if len(prompt) > _MAX_CHARACTERS:
        raise ValueError(f"the prompt has more than {_MAX_CHARACTERS:,} characters")
    if not prompt.strip():
        raise ValueError("the prompt is empty")
    prompt.encode()
    return str(prompt)


@contextmanager
def _limited_time(limit_s: float) -> Iterator[None]:
    """Raise `_TooSlow` in code of Python, and end the process in a long call of the interpreter."""
    used_s = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    hard_s = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used_s + limit_s) + 2, hard_s))
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (hard_s, hard_s))


def _too_slow(*_: object) -> NoReturn:
    raise _TooSlow


def _limit_memory(n_bytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + n_bytes
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _problem(index: int, chat: Chat, error: Exception) -> ChatProblem:
    return ChatProblem(index, f"{chat.place}: {_reason(error)}", is_in_row=True)


def _reason(error: Exception) -> str:
    match error:
        case _TooSlow():
            what = "needs too much processor time for one conversation"
        case MemoryError():
            what = f"needs more than {_MEMORY_BYTES // 2**30} GiB of memory"
        case _:
            what = f"fails: {' '.join(str(error).split())[:500] or type(error).__name__}"
    return f"the chat template {what}; correct the row or the template"


if __name__ == "__main__":
    signal.signal(signal.SIGPROF, _too_slow)
    main()
