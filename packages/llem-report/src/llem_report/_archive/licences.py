"""The licence of an archive: one of the usual ones for data, a text of the author, or none."""

from __future__ import annotations

from pathlib import Path

import msgspec

from llem_config.foreign_files import ForeignFileError, read_bytes
from llem_report._errors import ArgumentError

_MAX_BYTES = 2**20
_KNOWN = {
    "CC-BY-4.0": (
        "Creative Commons Attribution 4.0 International",
        "https://creativecommons.org/licenses/by/4.0/legalcode",
    ),
    "CC-BY-SA-4.0": (
        "Creative Commons Attribution-ShareAlike 4.0 International",
        "https://creativecommons.org/licenses/by-sa/4.0/legalcode",
    ),
    "CC0-1.0": (
        "Creative Commons Zero 1.0 Universal",
        "https://creativecommons.org/publicdomain/zero/1.0/legalcode",
    ),
    "ODbL-1.0": (
        "Open Data Commons Open Database License 1.0",
        "https://opendatacommons.org/licenses/odbl/1-0/",
    ),
    "ODC-By-1.0": (
        "Open Data Commons Attribution License 1.0",
        "https://opendatacommons.org/licenses/by/1-0/",
    ),
    "PDDL-1.0": (
        "Open Data Commons Public Domain Dedication and License 1.0",
        "https://opendatacommons.org/licenses/pddl/1-0/",
    ),
}
"""By the identifier of SPDX."""


class Licence(msgspec.Struct, frozen=True):
    """What others may do with the archive."""

    text: str
    """Content of `LICENCE.txt`."""
    spdx: str | None = None
    """Identifier of SPDX; None for a text of the author, and without a licence."""
    sentence: str = ""


def find_licence(name: str | None) -> Licence:
    """Return the licence of a name.

    Args:
        name: an identifier of SPDX, or the path of a file with the text; None: no licence.

    Raises:
        ArgumentError: there is no such licence, and no such file.
    """
    if name is None:
        sentence = (
            "No licence was chosen, so all rights are with the authors; ask them before you use it."
        )
        return Licence(f"{sentence}\n", None, sentence)
    known = {spdx.lower(): spdx for spdx in _KNOWN}
    spdx = known.get(name.lower())
    if spdx is not None:
        title, address = _KNOWN[spdx]
        sentence = f"This archive is licensed under {title} ({spdx}): {address}"
        return Licence(f"{sentence}\n", spdx, sentence)
    try:
        text = read_bytes(Path(name), max_bytes=_MAX_BYTES).decode()
    except (ForeignFileError, UnicodeDecodeError):
        raise ArgumentError(
            f"--licence: expected {', '.join(_KNOWN)} or a file with the text of a licence, found "
            f"{name!r}"
        ) from None
    return Licence(text, None, "The licence is in LICENCE.txt.")
