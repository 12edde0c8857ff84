"""Text from files, libraries and other people, made safe to show.

    from llem_config.text import one_line, visible
    print(one_line(message))     # a terminal interprets none of it

A character that is not seen could clear a screen, reorder a line, forge a second line, or make two
names look alike. Here it becomes its escape, as in Python's `repr`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MAX_LABEL", "MAX_LINE", "distinct", "one_line", "shortened", "similar", "visible"]

MAX_LINE = 2000
"""Characters of one line; a longer text is shortened in the middle."""
MAX_LABEL = 60
"""Characters of a label in a list or a table, without the number of a repeated one."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_GAP = " ... "
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufe00-\ufe0f]")
"""Characters that `str.isprintable` accepts and that fonts draw as nothing; the others of Unicode's
`Default_Ignorable_Code_Point` are control or format characters."""


def visible(text: str) -> str:
    """Return a text with an escape for each character that is not seen; line feeds stay.

    These are control and format characters (escape sequences, changes of direction, zero widths),
    line separators, spaces other than the usual one, and halves of surrogate pairs.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def one_line(text: str, max_characters: int = MAX_LINE) -> str:
    """Return a text as one line: `visible`, line feeds too, and shortened in the middle."""
    return shortened(visible(shortened(text, max_characters)).replace("\n", "\\n"), max_characters)


def distinct(labels: Iterable[str]) -> tuple[str, ...]:
    """Return short labels of one line each, all different: a repeated one gets a number."""
    result: dict[str, None] = {}
    for label in labels:
        text = base = one_line(label, MAX_LABEL) or "''"
        repeat = 1
        while text in result:
            repeat += 1
            text = f"{base} #{repeat}"
        result[text] = None
    return tuple(result)


def shortened(text: str, max_characters: int) -> str:
    """Return a text whose middle is left out if it has more than `max_characters`."""
    if len(text) <= max_characters:
        return text
    n_kept = max(2, max_characters - len(_GAP))
    n_last = n_kept // 3
    return f"{text[: n_kept - n_last]}{_GAP}{text[len(text) - n_last :]}"


def _visible(char: str) -> str:
    if char == "\n" or (char.isprintable() and not _INVISIBLE.match(char)):
        return char
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def similar(counts: Mapping[str, int]) -> list[tuple[str, int, bool]]:
    """Merge texts that differ only in numbers into one with the range of each number.

    Args:
        counts: how often each text occurs.

    Returns:
        Each text, how often it and those like it occur, and whether it stands for several; the most
        frequent first.
    """
    groups: dict[str, list[str]] = {}
    for text in counts:
        groups.setdefault(_NUMBER.sub("#", text), []).append(text)
    merged = [
        (_with_ranges(group), sum(counts[text] for text in group), len(group) > 1)
        for group in groups.values()
    ]
    return sorted(merged, key=lambda each: -each[1])


def _with_ranges(texts: Sequence[str]) -> str:
    """Return a text with the range of each number that is not the same in all of them."""
    columns = zip(*map(_NUMBER.findall, texts), strict=True)
    ranges = [
        min(numbers, key=float)
        if len(set(numbers)) == 1
        else f"{min(numbers, key=float)} to {max(numbers, key=float)}"
        for numbers in columns
    ]
    between = _NUMBER.split(texts[0])
    pairs = zip(ranges, between[1:], strict=True)
    return between[0] + "".join(number + text for number, text in pairs)
