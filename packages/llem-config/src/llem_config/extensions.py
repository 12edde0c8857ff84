"""What installed packages add to llem: backends, sections, energy sources, executors.

    from llem_config.extensions import extensions
    for extension in extensions("llem.energy_sources"):
        source_type = extension.load()

A package declares each in an entry-point group `llem.*`. Packages are written by others: one that is
damaged, raises, or ends the program when it is imported must not prevent the use of any other. No
package can take a name that a package of llem declares in the same group.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llem_config._errors import LlemError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = ["Extension", "ExtensionError", "extensions"]

_OUR_PACKAGES = frozenset(
    ("llem-config", "llem-energy", "llem-runner", "llem-report", "llem-slurm", "llem-cli")
)
_SLOW_S = 10.0  # a person who waits this long wants to know for what
_log = logging.getLogger("llem")


class ExtensionError(LlemError):
    """A package ended the program when it was imported, instead of raising an error."""


@dataclass(frozen=True, slots=True)
class Extension:
    """One object that a package declares under a name in a group."""

    name: str
    """Of the backend, the source or the executor."""
    group: str
    """The entry-point group, such as `llem.backends`."""
    value: str
    """The object as `module:attribute`."""
    package: str
    """The installed package that declares it."""
    requires: tuple[str, ...]
    """The requirements of the package."""

    def load(self) -> Any:
        """Import the module and return the object.

        An import that takes longer than ten seconds is logged as a warning, with the package.

        Raises:
            ExtensionError: the import ends the program, for example by `sys.exit`.
            Exception: whatever else the import raises.
        """
        slow = threading.Timer(_SLOW_S, self._warn)
        slow.daemon = True
        if self.package not in _OUR_PACKAGES:
            slow.start()
        try:
            from importlib.metadata import EntryPoint

            return EntryPoint(self.name, self.value, self.group).load()
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise ExtensionError(
                f"the import of {self.value} ended with {type(error).__name__}: {error}"
            ) from error
        finally:
            slow.cancel()

    def _warn(self) -> None:
        _log.warning(
            "the import of %s from the package %s takes longer than %.0f s; if it does not end, "
            "press Ctrl-C and uninstall the package",
            *(self.value, self.package, _SLOW_S),
        )


def extensions(group: str, name: str | None = None) -> tuple[Extension, ...]:
    """Return what installed packages declare in a group, or under one name of it.

    A name that a package of llem declares belongs to it: others under that name are left out.
    """
    declared = [item for item in _all(tuple(sys.path)) if item.group == group]
    ours = {item.name for item in declared if item.package in _OUR_PACKAGES}
    return tuple(
        item
        for item in declared
        if (name is None or item.name == name)
        and (item.package in _OUR_PACKAGES or item.name not in ours)
    )


@functools.cache  # reads a file of every installed package
def _all(path: tuple[str, ...]) -> tuple[Extension, ...]:
    """Return every extension of the packages on a search path."""
    from importlib.metadata import distributions  # with zipfile and email, which take a while

    by_package: dict[str, tuple[Extension, ...]] = {}
    for distribution in distributions(path=list(path)):
        try:
            text = distribution.read_text("entry_points.txt")
        except (OSError, UnicodeError):  # of a package that need not be for llem
            continue
        if text is None or "llem." not in text:
            continue
        package = _name(distribution)
        try:
            found = tuple(_declared(distribution, package))
        except Exception as error:  # noqa: BLE001  # the parser of damaged files raises anything
            _log.warning(
                "llem does not use the package %s, whose entry_points.txt is damaged: %s; "
                "reinstall it",
                *(package, error),
            )
            found = ()
        # The first on the path is the one that Python imports.
        by_package.setdefault(package, found)
    return tuple(item for found in by_package.values() for item in found)


def _declared(distribution: Distribution, package: str) -> Iterator[Extension]:
    requires = tuple(distribution.requires or ())
    for point in distribution.entry_points:
        if point.group.startswith("llem."):
            yield Extension(point.name, point.group, point.value, package, requires)


def _name(distribution: Distribution) -> str:
    try:
        return str(distribution.metadata["Name"]).lower().replace("_", "-")
    except Exception:  # noqa: BLE001  # a damaged METADATA file
        return "unknown"
