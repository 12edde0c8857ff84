"""Texts that a stranger may write where a name, a label or a message is expected, by kind.

`STRINGS` is for any program that feeds them to llem; `unsafe_characters` and `has_forged_line` judge
what it prints. Every text is harmless to store: only a program that interprets it, such as a terminal or a
parser of markup, does something.
"""

from __future__ import annotations

import re
import unicodedata

STRINGS: dict[str, str] = {
    # markup
    "closing tag": "a[/v1]",
    "style": "[red]b",
    "another style": "[blue]b",
    "closing tag alone": "[/INST]",
    "open tag": "[INST]",
    "unbalanced": "[bold",
    "link of markup": "[link=file:///etc/passwd]x[/link]",
    "action of markup": "[@click=app.bell]x[/]",
    "escaped bracket": "\\[red]c",
    "backslash at the end": "a\\",
    "emoji code": ":warning: :smile:",
    # a terminal
    "clear screen": "a\x1b[2J\x1b[Hb",
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;title\x07",
    "hyperlink": "\x1b]8;;file:///etc/passwd\x1b\\x\x1b]8;;\x1b\\",
    "reply of the terminal": "\x1b[6n\x1b[c",
    "device control": "\x1bP0;1|17/ab\x1b\\",
    "control sequence of one byte": "a\x9b31mb",
    "bell": "a\x07b",
    "backspace": "abc\b\b\bxyz",
    "carriage return": "completed\rfailed",
    "form feed": "a\fb\vc",
    "tab": "a\tb",
    "delete": "a\x7fb",
    "shift out": "a\x0eb\x0f",
    # lines
    "forged line": "a\nresults: /forged",
    "forged error": "a\r\nerror: forged",
    "next line": "a\x85results: /forged",
    "line separator": "a\u2028results: /forged",
    "paragraph separator": "a\u2029results: /forged",
    # what is seen is not what is there
    "right to left": "a\u202efdp.exe",
    "isolate": "a\u2066b\u2069c",
    "zero width space": "a\u200bb",
    "zero width joiner": "a\u200db",
    "byte order mark": "\ufeffa",
    "soft hyphen": "a\u00adb",
    "no-break space": "a\u00a0b",
    "Hangul filler": "a\u3164b",
    "variation selector": "a\ufe0fb",
    "tag characters": "a\U000e0041\U000e0042",
    "combining marks": "e" + "\u0301" * 50,
    # encodings
    "half of a pair": "a\ud800b",
    "byte of a name": "a\udcffb",
    "no character": "a\uffffb",
    "private use": "a\ue000b",
    "null": "a\x00b",
    "wide": "日本語モデル",
    "Hebrew": "שלום",
    "accents": "Grüße",
    "emoji": "😀👩\u200d💻",
    # lengths
    "very long": "x" * 100_000,
    "very long words": "word " * 20_000,
    "very long marks": "\x1b" * 20_000,
    "empty": "",
    "space": " ",
    # other languages
    "format": "%s %n {0} {__class__} {{}}",
    "shell": "'\"; $(id) `id` & | > x",
    "flag": "--json",
    "path": "../../etc/passwd",
    "YAML": "a: b # c\n- *x",
    "JSON": '{"a": ["b"]}',
    "CSV": '=1+1,"',
    "HTML": "<script>alert(1)</script>",
    "reserved": "nul.",
}
"""By kind; see the groups."""

_OF_TABLES = re.compile(r"\x1b\[[0-9;]*m")
_OF_PROGRESS = re.compile(r"\x1b\[[0-9;?]*[mKAhlJ]|\r")
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories of characters that are not seen."""


def unsafe_characters(printed: str, *, terminal: bool = False) -> set[str]:
    """Return the characters of an output that a terminal would interpret, or would not show.

    Args:
        printed: by a program, on stdout or stderr.
        terminal: it was printed to a terminal, where colours and a status bar are expected.
    """
    if terminal:
        printed = _OF_PROGRESS.sub("", _OF_TABLES.sub("", printed.replace("\r\n", "\n")))
    return {char for char in printed if char != "\n" and unicodedata.category(char) in _HIDDEN}


def has_forged_line(printed: str) -> bool:
    """Return whether one of the texts above made a line of its own, which looks like one of llem."""
    return any(re.match(r"(results: /|error: )forged", line) for line in printed.splitlines())
