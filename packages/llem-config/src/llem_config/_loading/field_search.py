"""Which fields of a study file a word means: by their names, other tools' names, and descriptions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from llem_config._loading.field_names import other_keys
from llem_config._loading.suggest import in_words, plain
from llem_config._spec.other_names import OTHER_KEYS

_MIN_LETTERS = 3  # a shorter part of a word is in too many descriptions to help
_MIN_SIMILARITY = 0.8  # of a misspelling; `hf_token` and `token` have 0.77
_ENDINGS = re.compile(r"(ations?|ings?|ers?|ed|es|e|s)$")


def named_keys(word: str, keys: Sequence[str]) -> list[str]:
    """Return the keys that a word names: all of it, a part of it, or its name in other tools.

    Args:
        word: as typed; case, dashes, underscores and spaces do not matter.
        keys: dotted keys of all fields.
    """
    letters = plain(word)
    if not letters:
        return []
    exact = [key for key in keys if plain(key) == letters]
    if exact:
        return [key for key in keys if f"{key}.".startswith(f"{exact[0]}.")]
    others = other_keys(word)
    whole = [key for key in keys if plain(key.rpartition(".")[2]) == letters]
    # The name of a field is exact, unless other tools use it for more than one of ours.
    if whole and not others:
        return whole
    return [key for key in keys if key in others or letters in plain(key)]


def describing_keys(word: str, texts: Mapping[str, str]) -> list[str]:
    """Return the keys whose texts have every word, in any form: `compiled` is found by `compile`.

    Args:
        word: one word, or several that must all occur.
        texts: of each key what is known of it.
    """
    stems = [_stem(part) for part in _words(word)]
    if not any(len(stem) >= _MIN_LETTERS for stem in stems):
        return []
    found = []
    for key, text in texts.items():
        words = [_british(part) for part in _words(text)]
        if all(any(part.startswith(stem) for part in words) for stem in stems):
            found.append(key)
    return found


def near_words(word: str, texts: Mapping[str, str]) -> str:
    """Return `; did you mean 'x' or 'y'?` with words by which fields are found, or an empty text."""
    names = (*texts, *(key.rpartition(".")[2] for key in texts), *OTHER_KEYS)
    known = dict.fromkeys(name for name in names if len(name) > _MIN_LETTERS)
    known |= dict.fromkeys(_long_words(texts.values()))
    near = difflib.get_close_matches(word.lower(), known, n=3, cutoff=_MIN_SIMILARITY)
    # `length` and `lengths`, `vllm.quantization` and `quantization` are the same hint.
    return in_words({_stem(name.rpartition(".")[2]): name for name in reversed(near)}.values())


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _long_words(texts: Iterable[str]) -> Iterable[str]:
    return (word for text in texts for word in _words(text) if len(word) > _MIN_LETTERS + 1)


def _stem(word: str) -> str:
    """Return what all forms of an English word begin with, in British spelling."""
    stem = _ENDINGS.sub("", _british(word))
    return stem if len(stem) >= _MIN_LETTERS else word


def _british(word: str) -> str:
    return re.sub(r"iz(?=[aei])", "is", word)
