"""`did you mean`: the valid name that a misspelt one is closest to.

A suggestion corrects the spelling and never the meaning. `min_input_tokens` is not a misspelt
`max_input_tokens`, because each of its words is spelt correctly; `fp8` is not a misspelt `fp16`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_MIN_SIMILARITY = 0.7  # `gpu` and `cpu` have 0.67, and `gpu` is not a misspelt `cpu`
_MAX_LISTED = 12
_WORDS = frozenset(
    (
        *("min", "max", "new", "old", "input", "output", "first", "last", "total", "no", "not"),
        *("prompt", "context", "prefill", "decode", "draft", "batch", "beam", "size", "length"),
        *("second", "model", "adapter", "compile", "cache", "top", "bottom"),
    )
)
"""Correct words that a user may type, besides those in the valid names; without plurals."""
_MAY_BE_LEFT_OUT = frozenset(("second", "n", "num", "c", "kwh"))
"""Words that say a unit or a number: `config_gap` means `config_gap_seconds`."""


def did_you_mean(word: object, valid_names: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest valid name, or an empty text."""
    return in_words([name] if (name := nearest(word, valid_names)) is not None else [])


def in_words(names: Iterable[str], where: str = "") -> str:
    """Return `; did you mean 'x' or 'y'?`, or an empty text if there is no name."""
    quoted = [repr(name) for name in names]
    if not quoted:
        return ""
    *others, last = quoted
    return f"; did you mean {', '.join(others)}{' or ' if others else ''}{last}{where}?"


def listed(valid_names: Iterable[str]) -> str:
    """Return `; expected one of` and the valid names, or an empty text if these are too many."""
    names = list(valid_names)
    return f"; expected one of {', '.join(names)}" if 0 < len(names) <= _MAX_LISTED else ""


def nearest(word: object, valid_names: Iterable[str]) -> str | None:
    """Return the valid name of which a word is a misspelling, or None."""
    if not isinstance(word, str):
        return None
    names = {name.lower(): name for name in valid_names}
    by_letters = {plain(name): name for name in names.values()}
    if plain(word) in by_letters:
        return by_letters[plain(word)]
    vocabulary = {*_WORDS, *(part for name in names for part in _parts(name))}
    for near in difflib.get_close_matches(word.lower(), names, n=3, cutoff=_MIN_SIMILARITY):
        if _is_misspelling(word.lower(), near, vocabulary):
            return names[near]
    return None


def plain(name: str) -> str:
    """Return a name without case, dashes and underscores: `maxNewTokens` is `max_new_tokens`."""
    return re.sub(r"[-_\s]", "", name).lower()


def _is_misspelling(word: str, name: str, vocabulary: set[str]) -> bool:
    """Return whether every wrong word is a misspelt one of the name, or only a unit is missing."""
    if _digits(word) != _digits(name):
        return False
    typed, valid = _parts(word), _parts(name)
    wrong = [part for part in typed if part not in valid]
    missing = [part for part in valid if part not in typed]
    if not wrong:
        return set(missing) <= _MAY_BE_LEFT_OUT
    if not missing or any(part in vocabulary for part in wrong):
        return False
    whole = "".join(missing)  # `batchsize` is `batch` and `size`
    return all(
        max(_similarity(part, other) for other in (*missing, whole)) >= _MIN_SIMILARITY
        for part in wrong
    )


def _digits(text: str) -> list[str]:
    return re.findall(r"\d+", text)


def _parts(name: str) -> list[str]:
    return [part.rstrip("s") or part for part in re.findall(r"[^\W_]+", name)]


def _similarity(left: str, right: str) -> float:
    return difflib.SequenceMatcher(None, left, right).ratio()
