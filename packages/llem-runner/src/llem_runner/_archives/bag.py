"""The names in an archive, and the list of digests in it.

Source: RFC 8493, the BagIt file packaging format, version 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

DECLARATION, INFO = "bagit.txt", "bag-info.txt"
MANIFEST, TAG_MANIFEST = "manifest-sha256.txt", "tagmanifest-sha256.txt"
PAYLOAD = "data"
STUDY = f"{PAYLOAD}/study"
"""The folder of the study, as it is on disk."""
TABLES = f"{PAYLOAD}/tables"
DECLARATION_TEXT = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def digest_lines(digests: Mapping[str, str]) -> str:
    """Return a list of digests as `sha256sum -c` reads it, sorted by name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def parse_digests(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield name and SHA-256 of each line of a list of digests.

    Raises:
        ValueError: a line is no digest and name; the message says which.
    """
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line.removesuffix("\n"))
        if match is None:
            raise ValueError(f"line {number}: expected a SHA-256, two spaces and a name")
        yield match[2], match[1]
