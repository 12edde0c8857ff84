"""Passwords and tokens: found by the names and the values that they have, and struck out.

    from llem_config.credentials import struck_out
    struck_out("no access to https://me:pa55@hub.example.org")  # "... https://***@hub.example.org"

Study files, results and logs are copied and shared. So a study file may not contain a password, and
none is written to a file or a message. A pattern finds usual ones only: it is a safety net.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

__all__ = [
    "find_credentials",
    "is_credential_name",
    "kind_of_credential",
    "places_of_credentials",
    "struck_out",
]

_STRUCK = "***"
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORDS = frozenset(
    (
        *("password", "passwd", "passphrase", "pwd", "secret", "secrets", "credential"),
        *("credentials", "authorization", "authorisation", "bearer", "cookie", "apikey"),
    )
)
_TOKEN_OF = frozenset(
    (
        *("hf", "hub", "huggingface", "auth", "access", "api", "bearer", "refresh", "session"),
        *("id",),
        *("github", "gitlab", "git", "aws", "wandb", "openai", "private", "user", "login", "oauth"),
        *("personal", "security", "csrf", "jwt", "app", "bot", "deploy", "registry"),
    )
)
"""`hf_token` is a password; `eos_token`, `pad_token_id` and `max_new_tokens` are not."""
_KEY_OF = frozenset(("api", "access", "private", "ssh", "signing", "encryption", "account", "auth"))

# Possessive repeats (`*+`) and starts at a boundary only: the time is linear in the text, which a
# stranger may have written.
_VALUES: Mapping[str, re.Pattern[str]] = {
    "a token of Hugging Face": re.compile(r"\b(hf|api_org)_[A-Za-z0-9]{20,}\b"),
    "a key of an API": re.compile(
        r"(?<![\w-])sk-((proj|ant|or|svcacct|admin)-[\w-]{20,}|[A-Za-z0-9]{20,})"
        r"|\bAIza[\w-]{35}|\bnvapi-[\w-]{20,}|\bnpm_[A-Za-z0-9]{36}\b|\bpypi-[\w-]{40,}"
    ),
    "a key of AWS": re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a token of GitHub": re.compile(r"\bgh[oprsu]_[A-Za-z0-9]{30,}\b|\bgithub_pat_\w{40,}"),
    "a token of GitLab": re.compile(r"\bglpat-[\w-]{20,}"),
    "a token of Slack": re.compile(r"\bxox[abeoprs]-[\w-]{10,}"),
    "a JSON web token": re.compile(r"(?<![\w-])eyJ[\w-]{10,}+\.eyJ[\w-]{10,}+\.[\w-]{10,}"),
    "a private key": re.compile(
        r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[A-Za-z0-9+/=\s]*+"
        r"(-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
    ),
    "a bearer token": re.compile(r"(?i:\bbearer)\s+[\w.~+/=-]{16,}"),
    "a password in a URL": re.compile(r"(?<=://)[^\s/?#@:'\"<>]*+:[^\s/?#@'\"<>]++(?=@)"),
    "a signature in a URL": re.compile(
        r"(?<=[?&])(access_token|api_?key|token|password|sig|X-Amz-Signature)=[^\s&#'\"<>]{8,}"
    ),
}
"""By kind; a match is replaced in messages."""
_PARTS: Mapping[str, tuple[str, ...]] = {
    "a bearer token": ("earer", "EARER"),
    "a token of Hugging Face": ("hf_", "api_org_"),
    "a key of an API": ("sk-", "AIza", "nvapi-", "npm_", "pypi-"),
    "a key of AWS": ("AKIA", "ASIA"),
    "a token of GitHub": ("gh", "github_pat_"),
    "a token of GitLab": ("glpat-",),
    "a token of Slack": ("xox",),
    "a JSON web token": ("eyJ",),
    "a private key": ("PRIVATE KEY-----",),
    "a password in a URL": ("://",),
    "a signature in a URL": ("=",),
}
"""Texts of which each value of a kind has one: a search for them is faster than for a pattern."""
_NAMED = re.compile(
    r"(?<![\w-])(?P<name>[A-Za-z][\w-]*+)(?P<between>['\"]?\s*[=:]\s*)"
    r"(?P<value>'[^'\n]{4,}'|\"[^\"\n]{4,}\"|[^\s'\",;)}\]]{6,})"
)
_MIN_VARIABLE = 8  # characters; a shorter value of a variable may be a word of the message


def is_credential_name(name: str) -> bool:
    """Return whether a name such as `hf_token`, `apiKey` or `proxy-password` is one of a secret."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return False
    if words in (["token"], ["auth"]) or not _SECRET_WORDS.isdisjoint(words):
        return True
    *before, last = words
    if last == "token":
        return not _TOKEN_OF.isdisjoint(before)
    if last == "auth":
        return before[-1] in ("basic", "http", "proxy", "use")
    return last == "key" and not _KEY_OF.isdisjoint(before)


def kind_of_credential(text: str) -> str | None:
    """Return what a text contains, such as `a token of Hugging Face`; None if nothing is known."""
    return next((kind for kind, pattern in _possible(text) if pattern.search(text)), None)


def places_of_credentials(text: str) -> Iterator[tuple[int, str]]:
    """Yield the position of each secret in a text, and what it is; names are not looked at."""
    for kind, pattern in _possible(text):
        for match in pattern.finditer(text):
            yield match.start(), kind


def find_credentials(data: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the key of each secret in nested data, and what it is.

    Args:
        data: mappings, lists and values, as in a study file.
        key: of the data, as a person writes it.
    """
    match data:
        case Mapping():
            for name, value in data.items():
                below = f"{key}.{name}" if key else str(name)
                is_named = is_credential_name(str(name))
                if is_named and not isinstance(value, Mapping | list | tuple):
                    yield below, "a password or a token"
                else:
                    yield from find_credentials(value, below)
                if kind := kind_of_credential(str(name)):
                    yield key, kind
        case list() | tuple():
            for position, value in enumerate(data):
                yield from find_credentials(value, f"{key}[{position}]")
        case str():
            if kind := kind_of_credential(data):
                yield key, kind


def struck_out(text: str) -> str:
    """Return a text with `***` in place of passwords and tokens.

    These are values with the form of one, values after a name such as `hf_token=`, and the values of
    the variables of this process whose names are those of secrets.
    """
    for value in _secret_variables():
        text = text.replace(value, _STRUCK)
    for _, pattern in _possible(text):
        text = pattern.sub(_STRUCK, text)
    return _NAMED.sub(_without_value, text)


def _possible(text: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    """Yield the kinds that a text may contain."""
    for kind, parts in _PARTS.items():
        if any(part in text for part in parts):
            yield kind, _VALUES[kind]


def _without_value(match: re.Match[str]) -> str:
    # `token: the` is usual in messages about text, so the name alone is not enough.
    if match["name"].lower() in ("token", "auth") or not is_credential_name(match["name"]):
        return match[0]
    # A sentence about a path, such as `/etc/passwd: expected a folder`.
    is_path = match.string[match.start() - 1 : match.start()] == "/"
    if is_path and match["between"] == ": ":
        return match[0]
    return f"{match['name']}{match['between']}{_STRUCK}"


def _secret_variables() -> Iterator[str]:
    for name, value in os.environ.items():
        if len(value) >= _MIN_VARIABLE and _is_secret_variable(name) and "/" not in value[:1]:
            yield value


@cache
def _is_secret_variable(name: str) -> bool:
    return is_credential_name(name)
