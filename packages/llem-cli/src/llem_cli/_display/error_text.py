"""The message of an error on stderr, which fits the terminal."""

from __future__ import annotations

import contextlib
import sys
import textwrap

from llem_cli._display.streams import terminal_width


def write_error(text: str) -> None:
    """Print a message, which a terminal wraps between words and a file keeps whole."""
    from llem_config.text import visible

    with contextlib.suppress(OSError, ValueError):  # a closed stream
        shown = visible(text.rstrip("\n"))
        if sys.stderr.isatty():
            shown = _wrapped(shown, terminal_width(sys.stderr))
        sys.stderr.write(shown + "\n")


def _wrapped(message: str, width: int) -> str:
    """Return a message in lines of a width.

    A line that is indented stays: it may quote a file, with a mark below a column.
    """
    return "\n".join(
        line
        if line.startswith(" ")
        else textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
        for line in message.splitlines()
    )
