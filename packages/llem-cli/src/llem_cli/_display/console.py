"""How everything is printed: plain text, in which nothing is markup, and tables of it.

Only this module calls rich with text. What comes from a file, a library or a person is never parsed
as markup and has no control characters: see `plain_text`. A test finds other calls.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llem_cli._display.streams import color_system, discard_results, results, terminal_width
from llem_config.text import MAX_LINE, one_line, visible

MAX_LINES = 10
"""Lines of one kind, e.g. warnings; any others are only counted."""
_MAX_CELL = 400  # characters of a cell of a table
_PIPE_WIDTH = 250  # columns of a table in a file or a pipe, where no terminal limits its width
_INDENT = "    "


class _Console(Console):
    """A console for plain text; it raises BrokenPipeError instead of redirecting stdout and exiting."""

    def __init__(self, stream: TextIO, width: int | None) -> None:
        super().__init__(
            file=stream,
            width=width,
            color_system=color_system(),
            highlight=False,
            markup=False,
            emoji=False,
        )

    def on_broken_pipe(self) -> None:
        raise


def stdout_console() -> Console:
    """Return a console for results."""
    stream = results()
    width = _PIPE_WIDTH
    if stream.isatty():
        width = terminal_width(stream)
    return _Console(stream, width)


def stderr_console() -> Console:
    """Return a console for progress and warnings."""
    width = None
    if sys.stderr.isatty():
        width = terminal_width(sys.stderr)
    return _Console(sys.stderr, width)


def stderr_table_console() -> Console:
    """Return a console for results on stderr, where stdout belongs to another program."""
    console = stderr_console()
    if not sys.stderr.isatty():
        console.width = _PIPE_WIDTH
    return console


@contextlib.contextmanager
def closed_terminal_ignored() -> Iterator[None]:
    """Print to stdout; if its terminal or its pipe was closed, that is not an error."""
    try:
        yield
        results().flush()
    except OSError as error:
        if error.errno not in (errno.EIO, errno.EPIPE):
            raise
        discard_results()


def show_json(data: bytes | str) -> None:
    """Print JSON to stdout, with an escape for each character that is not seen.

    Args:
        data: valid JSON; a `str` may have halves of surrogate pairs in its texts.
    """
    stream = results()
    text = data if isinstance(data, str) else data.decode()
    is_unicode = (stream.encoding or "").lower().replace("-", "").startswith("utf")
    stream.write(_escaped_json(text.rstrip("\n"), ascii_only=not is_unicode) + "\n")


def _escaped_json(text: str, *, ascii_only: bool) -> str:
    """Return the same JSON; only its strings have characters that are escaped here."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(
        char
        if char == "\n" or (visible(char) == char and not (ascii_only and not char.isascii()))
        else json.dumps(char).strip('"')
        if char != "\x7f"
        else "\\u007f"
        for char in text
    )


def plain_text(text: str, style: str = "", max_characters: int = MAX_LINE) -> Text:
    """Return text for rich: no markup, no control characters, one line, shortened in the middle."""
    return Text(one_line(text, max_characters), style, overflow="fold")


def plain_table(*, show_header: bool = True) -> Table:
    """Return a table without lines; `add_row` fills it."""
    return Table(box=None, pad_edge=False, show_header=show_header)


def add_row(table: Table, cells: Sequence[str]) -> None:
    """Add a row of plain text to a table."""
    table.add_row(*(plain_text(cell, max_characters=_MAX_CELL) for cell in cells))


def print_table(table: Table, console: Console | None = None) -> None:
    """Print a table to stdout, or to a console."""
    (console or stdout_console()).print(table)


def say(line: str) -> None:
    """Print a line to stdout."""
    print_line(stdout_console(), line)


def print_text(text: str) -> None:
    """Print lines to stdout as they are, apart from characters that are not seen."""
    results().write(visible(text.rstrip("\n")) + "\n")


def note(line: str) -> None:
    """Print a line to stderr; a closed stderr is not a reason to stop."""
    with contextlib.suppress(OSError):
        print_line(stderr_console(), line)


def print_line(console: Console, line: str, style: str = "") -> None:
    """Print a line, which a terminal wraps between words and a file keeps whole.

    A word that is longer than the terminal is wide, such as a path, is printed without a line break
    in it, so that it can be copied.
    """
    text = plain_text(line, style)
    if console.file.isatty():
        text.plain = textwrap.fill(
            text.plain, console.width, break_long_words=False, break_on_hyphens=False
        )
    console.print(text, soft_wrap=True)


def message_lines(text: str) -> list[str]:
    """Return the lines of a message of a library; all but the first are indented.

    So no line of the message looks like one of llem. Many lines are only counted.
    """
    first, *others = text.replace("\r\n", "\n").strip("\n").split("\n")
    shown = [first, *(_INDENT + line for line in others if line.strip())]
    if len(shown) > MAX_LINES:
        shown[MAX_LINES:] = [f"{_INDENT}... and {count(len(shown) - MAX_LINES, 'more line')}"]
    return shown


def first_lines(lines: Iterable[str], rest: Callable[[int], str]) -> Iterator[str]:
    """Yield the first lines of one kind, and a line that `rest` makes of the number of the others."""
    lines = list(lines)
    yield from lines[:MAX_LINES]
    if len(lines) > MAX_LINES:
        yield rest(len(lines) - MAX_LINES)


def first_prefixed(lines: Iterable[str], prefix: str = "") -> Iterator[str]:
    """Yield the first lines of one kind with a prefix, and how many more --json prints."""
    return first_lines(
        (f"{prefix}{line}" for line in lines),
        lambda n: f"{prefix}{n} more such lines; --json prints all of them",
    )


def duration(seconds: float) -> str:
    """Return a duration in words: `45 s`, `3 min 20 s`, `2 h 5 min`, `1 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    large, small = ("min", "s") if whole < 3600 else ("h", "min")
    number, rest = divmod(whole if whole < 3600 else whole // 60, 60)
    return f"{number} {large}" + (f" {rest} {small}" if rest else "")


def count(number: int, noun: str) -> str:
    """Return a count with its noun: `1 run`, `2 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def resume_command(folder: Path, gpus: str | None = None, *, on: str | None = None) -> str:
    """Return the command that continues a study, ready to paste into a shell.

    Args:
        folder: of the study.
        gpus: of its flag --gpus; None if it was not given.
        on: the cluster that runs it; None: none.
    """
    options = "" if gpus is None else f" --gpus {_shell_word(gpus)}"
    options += "" if on is None else f" --on {_shell_word(on)}"
    return f"`llem-cli study resume {_shell_word(str(folder))}{options}`"


def _shell_word(text: str) -> str:
    """Return a word of a shell; characters that are not seen are in the escapes of `$'...'`."""
    if visible(text) == text and "\n" not in text:
        return shlex.quote(text)
    return "$'" + "".join(map(_shell_char, text)) + "'"


def _shell_char(char: str) -> str:
    code = ord(char)
    if char in "\\'":
        return f"\\{char}"
    if char != "\n" and visible(char) == char:
        return char
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
