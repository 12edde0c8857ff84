"""What to write instead of a wrong command line."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Sequence
from itertools import takewhile

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

_FILES = (".yaml", ".yml")
_FIELDS = ("--set", "--sweep")
_WITH_FIELDS = ("run", "plan", "validate", "submit")
"""Commands that take fields of a study file as `--set KEY=VALUE`."""
_CONTINUING = ("resume", "extend")
_FIXED = ("--no-gaps", "--gaps", "--order", "--set", "--timeout")
_KEPT = (
    "A study keeps the gaps, the order and the other settings that it began with, because its runs would not "
    "be comparable otherwise."
)
_MIN_SIMILARITY = 0.7
_MIN_COMMON = 4
"""Letters at the beginning; `--time-per-run` means `--time-per-shard`."""
_MIN_BEGINNING = 3
"""Letters of an option that is cut off; `--out` means `--output`."""


_KINDS: dict[object, str] = {int: "a whole number", float: "a number"}


def problem_of(error: CycloptsError) -> str:
    """Return what is wrong with a command line, in the words of our other messages."""
    match error:
        case UnusedCliTokensError():
            return f"unexpected argument: {' '.join(error.unused_tokens or ())}"
        case UnknownOptionError():
            near = _near_option(error)
            return f"Unknown option: {_option_of(error)}." + (
                f" Did you mean {near}?" if near else ""
            )
        case CoercionError(msg=None, token=token) if token and error.target_type in _KINDS:
            where = f"{token.keyword}: " if token.keyword else ""
            return f"{where}expected {_KINDS[error.target_type]}, found {token.value!r}"
        case MissingArgumentError(argument=argument, keyword=None) if (
            argument is not None and argument.name == "--study" and not argument.tokens
        ):
            return "--study FILE is required, found none."
    return str(error).strip()


def hint(
    error: CycloptsError, own: Sequence[str], tokens: Sequence[str], study: Container[str]
) -> str:
    """Return what to do about a wrong command line, or nothing.

    Args:
        error: that was found.
        own: the words that are for llem, without a measured command.
        tokens: all words.
        study: names of the commands of `llem-cli study`.
    """
    if own == tokens and own[:1] == ["meter"]:
        return " Put -- before the command to measure."
    match error:
        case UnusedCliTokensError():
            return _of_unused(error.unused_tokens or (), tokens)
        case UnknownOptionError() if any(word in own for word in _WITH_FIELDS):
            return _of_option(_option_of(error), own, has_guess=_near_option(error) is not None)
        case UnknownOptionError() if any(word in own for word in _CONTINUING):
            is_fixed = _option_of(error).partition("=")[0] in _FIXED
            return f" {_KEPT}" if is_fixed else ""
        case UnknownCommandError():
            return _of_command(own, study)
        case MissingArgumentError() if error.argument is not None:
            return _of_missing(error.argument.name, own)
    return ""


def _option_of(error: UnknownOptionError) -> str:
    return (error.token.keyword or error.token.value) if error.token else ""


def _near_option(error: UnknownOptionError) -> str | None:
    """Return the option of the command of which an unknown one is a misspelling; None if there is none."""
    arguments = error.argument_collection or ()
    names = [name for argument in arguments if argument.parse for name in argument.names]
    return near_option(_option_of(error), names)


def near_option(option: str, names: Iterable[str]) -> str | None:
    """Return the name of which an option is a misspelling; None if there is none.

    Cyclopts compares the dashes too, so that `--no-gaps` would be close to `--gpus`. No option is
    close to its opposite.
    """
    word = option.partition("=")[0].lstrip("-")
    found = {
        name: difflib.SequenceMatcher(None, word, name.lstrip("-")).ratio()
        for name in names
        if name.startswith("--") and name.startswith("--no-") == word.startswith("no-")
    }
    for name in sorted(found, key=lambda name: found[name], reverse=True):
        same = takewhile(lambda pair: pair[0] == pair[1], zip(word, name.lstrip("-"), strict=False))
        n_common = sum(1 for _ in same)
        is_beginning = n_common == len(word) >= _MIN_BEGINNING
        if found[name] >= _MIN_SIMILARITY or n_common >= _MIN_COMMON or is_beginning:
            return name
    return None


def _of_unused(unused: Sequence[str], tokens: Sequence[str]) -> str:
    """Return how to write a field whose value is another word, such as `--set n 8`."""
    for position, word in enumerate(tokens[2:], 2):
        flag, key = tokens[position - 2 : position]
        if word in unused and flag in _FIELDS and not key.startswith("-"):
            joined = f"{key}{word}" if key.endswith(("=", ",")) else f"{key}={word}"
            return f"; write {flag} {joined}"
    return ""


def _of_option(option: str, own: Sequence[str], *, has_guess: bool) -> str:
    """Return the field with the name of an option, here or in another tool.

    Args:
        option: as typed.
        own: the words that are for llem.
        has_guess: whether the message names a similar option, which a name of another tool means as well.
    """
    from llem_config.fields import fields_called

    word = option.lstrip("-")
    name = word.replace("-", "_")
    keys = [field.key for field in fields_called(word)]
    is_ours = any(name in (key, key.rpartition(".")[2]) for key in keys)
    if not keys or (has_guess and not is_ours):
        return ""
    if len(keys) > 1:
        return f" `llem-cli study fields {name}` lists the fields of a study with this name."
    if option in own:
        following = own[own.index(option) + 1 :][:1]
        value = next((each for each in following if not each.startswith("-")), "VALUE")
    else:
        joined = (each.partition("=")[2] for each in own if each.startswith(f"{option}="))
        value = next(joined, "") or "VALUE"
    return f" For the field of a study write --set {keys[0]}={value}."


def _of_command(own: Sequence[str], study: Container[str]) -> str:
    """Return the command that was meant by one without its group, or by a file alone."""
    if own and own[0] in study:
        return f" Use `llem-cli study {own[0]}`."
    files = [word for word in own if word.endswith(_FILES)]
    return f" Use `llem-cli study run {files[0]}`." if files else ""


def _of_missing(name: str, own: Sequence[str]) -> str:
    files = [word for word in own if word.endswith(_FILES)]
    if name == "--study" and files:
        return f" Write --study {files[0]}."
    if name == "--study":
        return " Name the study file with the new points, e.g. --study more.yaml."
    if name in ("STUDY", "FOLDER"):
        return " `llem-cli study list` lists the folders of studies."
    return ""
