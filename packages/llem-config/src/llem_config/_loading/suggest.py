"""`did you mean`: the valid name that is nearest to a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MIN_SIMILARITY = 0.7  # `gpu` and `cpu` have 0.67, and `gpu` is not a misspelt `cpu`


def did_you_mean(word: object, valid_names: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest valid name, or an empty text."""
    if not isinstance(word, str):
        return ""
    names = {name.lower(): name for name in valid_names}
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=_MIN_SIMILARITY)
    return f"; did you mean {names[near[0]]!r}?" if near else ""
