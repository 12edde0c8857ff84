"""What `llem-cli study fields` prints: a list of fields, or each with its description."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from llem_cli._display.console import print_text, stdout_console
from llem_config.fields import StudyField

_MAX_WIDTH = 100  # columns of a paragraph; longer lines are hard to read
_MIN_WIDTH = 30
_INDENT = "    "
_KEY_WIDTH = 28  # columns of a key in the list; a longer key has a line of its own


def list_fields(fields: Sequence[StudyField]) -> None:
    """Print each field with the first sentence of its meaning."""
    width = _width()
    indent = " " * (_KEY_WIDTH + 2) if width >= 2 * _KEY_WIDTH else _INDENT
    for field in fields:
        line = _filled(_first_sentence(field.meaning), indent, width)
        if len(field.key) + 2 <= len(indent):
            line = field.key.ljust(len(indent)) + line[len(indent) :]
        else:
            line = f"{field.key}\n{line}"
        print_text(line)
    print_text("")
    print_text(
        _filled(f"{len(fields)} fields; `llem-cli study fields WORD` explains one", "", width)
    )


def show_fields(fields: Sequence[StudyField], related: Sequence[StudyField] = ()) -> None:
    """Print each field with everything that is known of it, and the names of related ones."""
    width = _width()
    for number, field in enumerate(fields):
        if number:
            print_text("")
        print_text(field.key)
        print_text(_filled("; ".join(_facts(field)), _INDENT, width))
        print_text(_filled(field.meaning, _INDENT, width))
        if field.energy is not None:
            print_text(_filled(f"Energy: {field.energy}", _INDENT, width))
    if related:
        names = ", ".join(field.key for field in related)
        print_text("")
        print_text(_filled(f"The word is also in the descriptions of: {names}", "", width))


def _facts(field: StudyField) -> list[str]:
    facts = [field.values]
    if field.is_required:
        facts.append("required")
    elif field.default is not None:
        facts.append(f"default: {field.default}")
    facts.append("may be swept" if field.may_be_swept else "not swept")
    return facts


def _first_sentence(text: str) -> str:
    # A text that begins with a value explains each value in turn.
    ends = r"[.] " if text.startswith("`") else r"[.:;] "
    return re.split(rf"(?<=[a-z0-9)`]){ends}", text, maxsplit=1)[0].rstrip(".")


def _width() -> int:
    return max(_MIN_WIDTH, min(_MAX_WIDTH, stdout_console().width))


def _filled(text: str, indent: str, width: int) -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
