"""The figure that studies are compared by, as the flag `--figure` of commands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from llem_cli._commands.study.folder import usage_error
from llem_report import UnknownFigureError


@contextlib.contextmanager
def figure_flag(name: str | None) -> Iterator[None]:
    """Make the name of a figure that no study has a wrong flag, which exits with code 2.

    A figure that the runs of one study lack stays an error of that study, with code 1.

    Args:
        name: the value of `--figure`.

    Raises:
        ConfigError: there is no such figure.
    """
    try:
        yield
    except UnknownFigureError as error:
        raise usage_error("--figure", f"{error}{_pictures(name)}") from error


def _pictures(name: str | None) -> str:
    """Return where the pictures of a report are, if the name is that of one."""
    from llem_report import FIGURES

    if name not in FIGURES:
        return ""
    return f". {name} is a picture of the report: `study report --figures DIR` writes it"
