"""Which line of invalid YAML has the wrong indent, or no space after a colon.

A parser reports the first line that does not fit those above. If that line has a usual indent, the
line above it, with an unusual one, is more likely the mistake.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import yaml

from llem_config._faults import LINE_BREAK

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NO_SPACE = re.compile(r"(\s*(?:- )?)(?!builtin:)([A-Za-z_][\w.]*):(?=[^\s:/])")
"""A key and its colon without a space after it; `builtin:` is how the name of a model begins."""
_USUAL_STEP = 2  # spaces, if the file has no other habit


@dataclass(frozen=True, slots=True)
class WrongIndent:
    """A line whose indent does not fit the lines around it."""

    line: int
    """1-based."""
    column: int
    """1-based; of the first character after the indent."""
    problem: str


@dataclass(frozen=True, slots=True)
class _Level:
    """A column at which entries of an open section begin."""

    indent: int
    line: int
    is_after_dash: bool = False
    """Whether it begins after the dash of a list: `- n: 1` opens a level at the `n`."""


def wrong_indent(text: str, line: int) -> WrongIndent | None:
    """Return the line with the wrong indent near the place of a parser's error, or None.

    Args:
        text: the document.
        line: 1-based, where the parser stopped.
    """
    lines = LINE_BREAK.split(text)
    if not 1 <= line <= len(lines) or not lines[line - 1].strip():
        return None
    stopped = lines[line - 1]
    white = stopped[: len(stopped) - len(stopped.lstrip())]
    if "\t" in white:
        return WrongIndent(line, white.index("\t") + 1, "a tab cannot indent a line; use spaces")
    open_levels, step = _open_levels(lines[: line - 1])
    here = _Level(len(white), line)
    above = [level for level in open_levels if level.indent <= here.indent]
    inner = [level for level in open_levels if level.indent > here.indent]
    if not open_levels or (above and above[-1].indent == here.indent):
        return None  # this line fits; the mistake is another one
    candidates = [*above[-1:], *inner[:1]]
    nearest = min(candidates, key=lambda level: abs(level.indent - here.indent))
    is_usual = here.indent % step == 0
    if is_usual and not nearest.is_after_dash and nearest.indent % step:
        return _wrong(nearest, here)
    return _wrong(here, *candidates)


def missing_space(text: str, line: int) -> WrongIndent | None:
    """Return the line without a space after the colon of its key, as in `n:2`; None if there is none.

    Args:
        text: the document.
        line: 1-based, where the parser stopped: at that line or below it.
    """
    lines = LINE_BREAK.split(text)
    corrected = list(lines)  # several lines may lack the space
    for number in range(min(line, len(lines)), max(line - 3, 0), -1):
        written = lines[number - 1]
        if (found := _NO_SPACE.match(written)) is None:
            continue
        corrected[number - 1] = f"{found[0]} {written[found.end() :]}"
        alone = [*lines[: number - 1], corrected[number - 1], *lines[number:]]
        if any(_is_valid_to("\n".join(each), line) for each in (alone, corrected)):
            problem = f"expected a space after the colon of {found[2]!r}, found none"
            return WrongIndent(number, len(found[1]) + 1, problem)
    return None


def _is_valid_to(text: str, line: int) -> bool:
    """Return whether a parser reads all lines up to this one, and the one itself."""
    try:
        event: Any
        for event in yaml.parse(text, Loader=_LOADER):
            if event.start_mark.line >= line:
                break
    except yaml.MarkedYAMLError as error:
        return error.problem_mark is not None and error.problem_mark.line >= line
    except yaml.YAMLError:
        return False
    return True


def _wrong(level: _Level, *others: _Level) -> WrongIndent:
    indents = " or ".join(str(other.indent) for other in others)
    lines = " or ".join(dict.fromkeys(str(other.line) for other in others))
    problem = f"expected an indent of {indents} spaces as in line {lines}, found {level.indent}"
    return WrongIndent(level.line, level.indent + 1, problem)


def _open_levels(lines: list[str]) -> tuple[list[_Level], int]:
    """Return the levels that are open after some lines, outermost first, and the usual step."""
    levels: list[_Level] = []
    steps: Counter[int] = Counter()
    n_brackets = 0  # lines inside brackets have any indent
    for number, text in enumerate(lines, 1):
        content = text.lstrip(" ")
        if not content.strip() or content.startswith(("#", "---")):
            continue
        is_inside = n_brackets > 0
        n_brackets += sum(content.count(char) for char in "[{")
        n_brackets -= sum(content.count(char) for char in "]}")
        if is_inside:
            continue
        indent = len(text) - len(content)
        levels = [level for level in levels if level.indent <= indent]
        if not levels or levels[-1].indent < indent:
            if levels:
                steps[indent - levels[-1].indent] += 1
            levels.append(_Level(indent, number))
        while dash := re.match(r"- +(?=\S)", content):
            indent, content = indent + dash.end(), content[dash.end() :]
            levels.append(_Level(indent, number, is_after_dash=True))
    ((step, _),) = steps.most_common(1) or ((_USUAL_STEP, 0),)
    return levels, step if steps.total() > 1 else _USUAL_STEP
