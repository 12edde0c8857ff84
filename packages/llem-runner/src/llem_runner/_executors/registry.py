"""Executors by name: ours and those of installed packages, found through entry points.

A package names a callable without arguments that returns an `Executor` in the entry-point group
`llem.executors`. The setting `execution.executor` selects one by its name.
"""

from __future__ import annotations

from llem_config.extensions import extensions
from llem_runner._errors import StudyError
from llem_runner._executors.protocol import Executor

_GROUP = "llem.executors"
AUTO = "auto"


def executor_names() -> tuple[str, ...]:
    """Return the executors that installed packages provide."""
    return tuple(sorted({extension.name for extension in extensions(_GROUP)}))


def name_of(executor: Executor) -> str:
    """Return the name under which an installed package provides an executor, or that of its class."""
    kind = type(executor)
    value = f"{kind.__module__}:{kind.__qualname__}"
    names = [item.name for item in extensions(_GROUP) if item.value == value]
    return names[0] if names else value.replace(":", ".")


def find_executor(name: str) -> Executor:
    """Return a new executor.

    Raises:
        StudyError: no installed package provides it, it cannot be imported, or it cannot be used in
            this process.
    """
    declared = extensions(_GROUP, name)
    packages = sorted({extension.package for extension in declared})
    if len(packages) > 1:
        raise StudyError(
            f"execution.executor: the packages {' and '.join(packages)} both provide the executor "
            f"{name!r}; uninstall one of them"
        )
    for extension in declared:
        try:
            executor: Executor = extension.load()()
        except StudyError:  # one of ours, whose message says what to do
            raise
        except (Exception, SystemExit) as error:
            raise StudyError(
                f"execution.executor: the executor {name!r} of {extension.package} cannot be used: "
                f"{type(error).__name__}: {error}"
            ) from error
        return executor
    names = ", ".join((AUTO, *executor_names()))
    raise StudyError(
        f"execution.executor: expected one of {names}, found {name!r}. Install the package that "
        "provides it, or change this setting"
    )
