"""The authors of an archive, as a person names them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from llem_report._errors import ArgumentError

_ORCID = re.compile(r"(?:https://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])")
_AUTHOR = re.compile(r"(?P<name>[^<>]+?)\s*(?:<(?P<orcid>[^<>]*)>)?")


class Author(msgspec.Struct, frozen=True, kw_only=True):
    """A person with family and given names, or an institution with a name."""

    family: str | None = None
    given: str | None = None
    name: str | None = None
    orcid: str | None = None

    @property
    def shown(self) -> str:
        """Return the name as a sentence has it."""
        return self.name or f"{self.given} {self.family}"


def parse_authors(texts: Sequence[str]) -> tuple[Author, ...]:
    """Return the authors of texts such as `Doe, Jane <0000-0002-1825-0097>` or `Institute`.

    Raises:
        ArgumentError: a text has no name, or no valid ORCID.
    """
    return tuple(map(_author, texts))


def _author(text: str) -> Author:
    match = _AUTHOR.fullmatch(text.strip())
    if match is None:
        raise ArgumentError(
            f"--author: expected 'Family, Given', 'Family, Given <ORCID>' or the name of an "
            f"institution, found {text!r}"
        )
    orcid = None
    if match["orcid"] is not None:
        found = _ORCID.fullmatch(match["orcid"].strip())
        if found is None or not _is_valid(found[1]):
            raise ArgumentError(
                f"--author: expected an ORCID such as 0000-0002-1825-0097, found {match['orcid']!r}"
            )
        orcid = f"https://orcid.org/{found[1]}"
    family, comma, given = (part.strip() for part in match["name"].partition(","))
    if comma and family and given:
        return Author(family=family, given=given, orcid=orcid)
    return Author(name=match["name"].strip(), orcid=orcid)


def _is_valid(orcid: str) -> bool:
    """Return whether the last digit is right (ISO 7064, MOD 11-2)."""
    total = 0
    for digit in orcid.replace("-", "")[:-1]:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    return orcid[-1] == ("X" if check == 10 else str(check))
