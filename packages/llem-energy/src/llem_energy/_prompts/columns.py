"""Chooses the column of a data set that holds the prompts. Never a guess between several."""

from __future__ import annotations

from collections.abc import Iterable

from llem_energy._errors import DatasetError

PROMPT_COLUMNS = ("prompt", "text", "question", "instruction", "input")
"""Read without `dataset.column` if a data set has exactly one of them."""

MESSAGE_COLUMNS = ("messages", "conversations", "conversation")
"""Read as lists of messages, without `dataset.column` if a data set has no column but one."""

TOOLS = "tools"
"""Beside messages: descriptions of the functions that the model may call."""

_PARTS_OF_PROMPTS = frozenset(
    {
        *("article", "choices", "context", "dialogue", "document", "options", "passage"),
        *("query", "system", "system_prompt", *MESSAGE_COLUMNS),
    }
)
"""Beside a prompt column they are often a part of the prompt."""

_MAX_NAMES = 20


def candidates(names: Iterable[str]) -> list[str]:
    """Return the columns that may be the prompt or a part of it, in the order of the data set."""
    return [name for name in names if name in PROMPT_COLUMNS or name in _PARTS_OF_PROMPTS]


def choose_column(names: Iterable[str], requested: str | None) -> str:
    """Return the column that holds the prompts.

    Args:
        names: all columns of the data set.
        requested: `dataset.column`.

    Raises:
        DatasetError: no column, or more than one, may be meant.
    """
    names = list(names)
    if requested is not None:
        chosen = requested if requested in names else None
    else:
        known = (*PROMPT_COLUMNS, *MESSAGE_COLUMNS)
        chosen = next((name for name in known if name in names), None)
        possible = candidates(names)
        if chosen is not None and len(set(possible)) > 1:
            raise DatasetError(ambiguous(possible))
    if chosen is None:
        expected = repr(requested) if requested else _usual_names()
        raise DatasetError(
            f"expected a column {expected}, found {_listed(names)}; {_advice(names, requested)}"
        )
    if names.count(chosen) > 1:
        raise DatasetError(f"has {names.count(chosen)} columns named {chosen!r}; rename one")
    return chosen


def _usual_names() -> str:
    return f"named {', '.join((*PROMPT_COLUMNS, *MESSAGE_COLUMNS))}"


def ambiguous(names: Iterable[str]) -> str:
    """Return the sentence that asks which of several columns is the prompt."""
    return (
        f"expected one column with prompts, found {', '.join(dict.fromkeys(names))}; "
        "set `dataset.column` to the one to read, or join them in the file"
    )


def _listed(names: list[str]) -> str:
    rest = len(names) - _MAX_NAMES
    shown = ", ".join(repr(name[:60]) for name in names[:_MAX_NAMES]) or "none"
    return f"{shown} and {rest} more" if rest > 0 else shown


def _advice(names: list[str], requested: str | None) -> str:
    if len(names) == 1:
        for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")):
            if separator in names[0]:
                return f"the columns seem to be separated by {word}: separate them by commas"
    return "correct `dataset.column`" if requested else "set `dataset.column`"
