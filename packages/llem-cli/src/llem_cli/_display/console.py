"""The two output streams, and the words that every display uses."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

MAX_LINES = 10
"""Lines of one kind, e.g. warnings; any others are only counted."""
_PIPE_WIDTH = 250  # columns of a table in a file or a pipe, where no terminal limits its width


class _Console(Console):
    """A console that raises BrokenPipeError instead of redirecting stdout and exiting."""

    def on_broken_pipe(self) -> None:
        raise


def stdout_console() -> Console:
    """Return a console for results."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return _Console(file=sys.stdout, width=width, highlight=False)


def stderr_console() -> Console:
    """Return a console for progress and warnings."""
    return _Console(file=sys.stderr, highlight=False)


@contextlib.contextmanager
def closed_terminal_ignored() -> Iterator[None]:
    """Print to stdout; if its terminal was closed, that is not an error."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        # Python writes what is left in the buffer again when it exits, and would fail.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def show_json(data: bytes) -> None:
    """Print JSON to stdout."""
    sys.stdout.write(data.decode().rstrip("\n") + "\n")


def say(line: str) -> None:
    """Print a line to stdout."""
    print_line(stdout_console(), line)


def note(line: str) -> None:
    """Print a line to stderr; a closed stderr is not a reason to stop."""
    with contextlib.suppress(OSError):
        print_line(stderr_console(), line)


def print_line(console: Console, line: str, style: str = "") -> None:
    """Print a line, which a terminal wraps between words and a file keeps whole.

    A word that is longer than the terminal is wide, such as a path, is printed without a line break
    in it, so that it can be copied.
    """
    if console.file.isatty():
        line = textwrap.fill(
            line, console.width, break_long_words=False, break_on_hyphens=False, tabsize=4
        )
    console.print(Text(line, style), soft_wrap=True)


def duration(seconds: float) -> str:
    """Return a duration in words: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(number: int, noun: str) -> str:
    """Return a count with its noun: `1 run`, `2 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def resume_command(folder: Path) -> str:
    """Return the command that continues a study, ready to paste into a shell."""
    return f"`llem-cli study resume {shlex.quote(str(folder))}`"
