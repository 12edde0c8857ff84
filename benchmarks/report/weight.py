"""How much a package adds to the installation of another one."""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def added_bytes(package: str, to: str) -> dict[str, int]:
    """Return the packages that `package` needs beyond those that `to` needs, with their size.

    Args:
        package: an installed package.
        to: another one; what it needs is not counted.

    Returns:
        Bytes of each package as installed, without compiled files.
    """
    added = _needed(package) - _needed(to)
    return {name: _size(distribution(name)) for name in sorted(added)}


def _needed(package: str) -> set[str]:
    found: set[str] = set()
    waiting = [package]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:  # for another system or version of Python
            continue
        found.add(name)
        requirements = map(Requirement, needs)
        waiting += [
            each.name
            for each in requirements
            if each.marker is None or each.marker.evaluate({"extra": ""})
        ]
    return found


def _size(package: Distribution) -> int:
    paths = [package.locate_file(file) for file in package.files or ()]
    return sum(
        path.stat().st_size  # type: ignore[attr-defined]  # a Path for installed packages
        for path in paths
        if path.is_file() and not str(path).endswith(".pyc")  # type: ignore[attr-defined]
    )
