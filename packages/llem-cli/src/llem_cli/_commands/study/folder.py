"""The folders of studies, as arguments of commands."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem_config import ConfigError, Fault
from llem_config.folders import found_instead

StudyFolder = Annotated[Path, Parameter(help="Folder of the study, as printed when it ran.")]


def check_folders(folders: Iterable[Path]) -> None:
    """Return if all are folders.

    Raises:
        ConfigError: one does not exist, or is a file.
    """
    for folder in folders:
        if found := found_instead(folder):
            raise usage_error("", f"{folder}: expected the folder of a study, found {found}")


def usage_error(key: str, problem: str) -> ConfigError:
    """Return the error of a wrong argument or flag, which exits with code 2."""
    return ConfigError([Fault("<command line>", 0, 0, key, problem)])
