"""How the process of a run finds the function that measures."""

from __future__ import annotations

import ast
import multiprocessing
import pickle
from multiprocessing import spawn
from pathlib import Path
from typing import Any

from llem_runner._errors import StudyError
from llem_runner._executors.task import Measure

_GUARD = 'below `if __name__ == "__main__":`'


def pickle_measure(measure: Measure) -> tuple[bytes, dict[str, Any] | None]:
    """Return the function as bytes, and how a new process imports the main module if it must.

    It must if the function is defined there. Otherwise the caller's main module is never imported
    again: it may be a script that starts a study, a notebook or standard input.

    Raises:
        StudyError: a new process could not import the function.
    """
    try:
        content = pickle.dumps(measure)
    except Exception as error:  # pickle may raise any type
        raise StudyError(
            "`measure` must be a function at the top level of a module, so that a new process "
            f"can import it: {error}"
        ) from error
    if b"__main__" not in content:
        return content, None
    main_module = spawn.get_preparation_data("llem-run")
    path = main_module.get("init_main_from_path")  # `<stdin>` for a program on standard input
    if "init_main_from_name" not in main_module and not (path and Path(path).is_file()):
        raise StudyError(
            "`measure` is defined in a notebook, a command or standard input, which a new process "
            "cannot import; define it in a module, i.e. in a file that is imported"
        )
    _check_guard(path)
    names = ("sys_path", "sys_argv", "init_main_from_name", "init_main_from_path")
    return content, {name: main_module[name] for name in names if name in main_module}


def check_not_importing() -> None:
    """Return if this is not a new process that imports the main module of another.

    Raises:
        StudyError: it is, and would run the caller's study a second time.
    """
    # This attribute is private, but nothing else shows it early enough.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise StudyError(
            f"a script that starts processes must call llem {_GUARD}, because a new process "
            "imports the script again"
        )


def _check_guard(script: str | None) -> None:
    if script is None:
        return
    try:
        tree = ast.parse(Path(script).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # not a script in Python
    # A guard can be written in many ways, but each reads `__name__`.
    if not any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(tree)):
        raise StudyError(
            f"{script}: a script that defines `measure` must call llem {_GUARD}, because every run "
            "is a new process that imports the script again; or define `measure` in a module"
        )
