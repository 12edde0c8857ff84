"""`did you mean`: the nearest known name to a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_NEAR = 0.7  # `gpu` is not a misspelt `cpu`, which has 0.67


def did_you_mean(found: object, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known name, or nothing."""
    if not isinstance(found, str):
        return ""
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(found.lower(), names, n=1, cutoff=_NEAR)
    return f"; did you mean {names[near[0]]!r}?" if near else ""
