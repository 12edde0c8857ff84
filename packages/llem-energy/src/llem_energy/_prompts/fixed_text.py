"""The text whose likelihood shows whether a model still works at a choice such as a precision.

It is English prose that we wrote: the documentation of llem as it was once, without tables, code and
headings. It never changes, or results of two versions of llem could not be compared.
"""

from __future__ import annotations

from pathlib import Path

_FILE = Path(__file__).with_name("fixed_text.txt")


def fixed_text() -> str:
    """Return the text, about 84,000 characters."""
    return _FILE.read_text(encoding="utf-8")
