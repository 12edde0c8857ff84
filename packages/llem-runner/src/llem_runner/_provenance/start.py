"""How one start of a study began: command line, code and packages."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

import msgspec

from llem_config.credentials import is_credential_name, struck_out
from llem_config.text import shortened
from llem_runner._provenance.code_version import CodeVersion, code_version

_MAX_ARGUMENTS, _MAX_CHARACTERS = 200, 1000
_OPTION = re.compile(r"--?[A-Za-z][\w-]*")


class Start(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of `study run`, `study resume` or `study extend` that began to measure."""

    session: int
    """Its number, as in the entries."""
    started_at: str
    """In UTC, ISO 8601."""
    host: str
    """Name of the machine."""
    python: str
    """Version of Python."""
    command: tuple[str, ...]
    """The command line, with `***` in place of passwords; the name of the program without its folder."""
    code: CodeVersion
    packages_of: int
    """Number of the start with these packages; this one, unless an earlier one has the same."""
    packages: dict[str, str] = {}
    """Version of every installed package; empty if `packages_of` is an earlier start."""
    shard: int | None = None
    """Number of the part of a merged or divided study; None in any other study."""
    packages_of_shard: int | None = None
    """Number of the part that has the start `packages_of`; None if it is the same part."""


def new_start(earlier: Sequence[Start], *, session: int, started_at: str, host: str) -> Start:
    """Return the record of a start that this process makes now.

    Args:
        earlier: the starts before it.
        session: its number.
        started_at: in UTC, ISO 8601.
        host: name of the machine.
    """
    packages = installed_packages()
    same = next((start for start in earlier if start.packages == packages), None)
    return Start(
        session=session,
        started_at=started_at,
        host=host,
        python=sys.version.split()[0],
        command=command_line(sys.argv),
        code=code_version(),
        packages_of=session if same is None else same.session,
        packages=packages if same is None else {},
    )


def packages_at(starts: Sequence[Start], start: Start) -> dict[str, str]:
    """Return the packages that were installed at a start; {} if they are not recorded."""
    shard = start.shard if start.packages_of_shard is None else start.packages_of_shard
    same = (s for s in starts if (s.session, s.shard) == (start.packages_of, shard))
    return next((found.packages for found in same), {})


def installed_packages() -> dict[str, str]:
    """Return the version of every package that this process can import, by its normalised name."""
    found: dict[str, str] = {}
    for package in distributions():
        name = package.metadata["Name"] if package.metadata else None
        if name:
            # The first one found is the one that is imported.
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), package.version or "")
    return dict(sorted(found.items()))


def command_line(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return a command line without passwords, the values of options such as `--hf-token` included."""
    shown: list[str] = []
    is_secret = False
    for position, argument in enumerate(arguments[:_MAX_ARGUMENTS]):
        text = Path(argument).name if position == 0 else struck_out(argument)
        shown.append("***" if is_secret else shortened(text, _MAX_CHARACTERS))
        is_option = _OPTION.fullmatch(argument) is not None
        is_secret = is_option and is_credential_name(argument.lstrip("-"))
    if len(arguments) > _MAX_ARGUMENTS:
        shown.append(f"and {len(arguments) - _MAX_ARGUMENTS} more")
    return tuple(shown)
