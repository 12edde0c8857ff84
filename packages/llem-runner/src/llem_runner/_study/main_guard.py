"""Finds out whether a new process would run the caller's script again, and with it the study."""

from __future__ import annotations

import ast
import multiprocessing
import sys
from pathlib import Path

from llem_runner._errors import StudyError

_MESSAGE = (
    'a script must call llem below `if __name__ == "__main__":`, '
    "because every run is a new process that imports the script again"
)


def check_main_guard() -> None:
    """Return if this process can start child processes.

    Raises:
        StudyError: a child process would run the caller's script a second time, or this is one.
    """
    # This attribute is private, but nothing else shows it early enough: multiprocessing itself
    # fails after the folder exists, with a long traceback.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise StudyError(_MESSAGE)
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    file = getattr(main, "__file__", None)
    # A process that is spawned does not import the `__main__.py` of a package again, and there is
    # no file in a notebook or with `python -c`.
    if file is None or (spec is not None and spec.name.endswith("__main__")):
        return
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # not a script in Python
    # A guard can be written in many ways, but each reads `__name__`.
    if not any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(tree)):
        raise StudyError(f"{file}: {_MESSAGE}")
