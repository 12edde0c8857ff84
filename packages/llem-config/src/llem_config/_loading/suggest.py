"""`did you mean`: the valid name that is nearest to a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

_MIN_SIMILARITY = 0.7  # `gpu` and `cpu` have 0.67, and `gpu` is not a misspelt `cpu`
_MIN_SIMILARITY_ELSEWHERE = 0.9  # `batchsize` and `batch_size` have 0.95
_MAX_LISTED = 12


def did_you_mean(word: object, valid_names: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest valid name, or an empty text."""
    if not isinstance(word, str):
        return ""
    names = {name.lower(): name for name in valid_names}
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=_MIN_SIMILARITY)
    return f"; did you mean {names[near[0]]!r}?" if near else ""


def key_hint(key: object, valid_keys: Iterable[str], elsewhere: Mapping[str, str]) -> str:
    """Return what to write instead of an unknown key, or an empty text.

    Args:
        key: the unknown key.
        valid_keys: the keys that are valid at its place.
        elsewhere: keys that are valid at other places, each with what to call it.
    """
    valid_keys = list(valid_keys)
    near = difflib.get_close_matches(str(key), elsewhere, n=1, cutoff=_MIN_SIMILARITY_ELSEWHERE)
    if key in elsewhere or (near and not did_you_mean(key, valid_keys)):
        return f"; did you mean {elsewhere[near[0]]}?"
    if hint := did_you_mean(key, valid_keys):
        return hint
    listed = 0 < len(valid_keys) <= _MAX_LISTED
    return f"; expected one of {', '.join(valid_keys)}" if listed else ""
