"""Executors by name: ours and those of installed packages, found through entry points.

A package names a callable without arguments that returns an `Executor` in the entry-point group
`llem.executors`. The setting `execution.executor` selects one by its name.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from llem_runner._errors import StudyError
from llem_runner._executors.protocol import Executor

_GROUP = "llem.executors"
AUTO = "auto"


def executor_names() -> tuple[str, ...]:
    """Return the executors that installed packages provide."""
    return tuple(sorted({point.name for point in entry_points(group=_GROUP)}))


def find_executor(name: str) -> Executor:
    """Return a new executor.

    Raises:
        StudyError: no installed package provides it, or it cannot be imported.
    """
    for point in entry_points(group=_GROUP, name=name):
        try:
            executor: Executor = point.load()()
        except Exception as error:
            package = point.dist.name if point.dist else point.value
            raise StudyError(
                f"execution.executor: the executor {name!r} of {package} cannot be used: "
                f"{type(error).__name__}: {error}"
            ) from error
        return executor
    names = ", ".join((AUTO, *executor_names()))
    raise StudyError(
        f"execution.executor: expected one of {names}, found {name!r}. Install the package that "
        "provides it, or change this setting"
    )
