"""Reads a chat template from a file."""

from __future__ import annotations

from pathlib import Path

from llem_config import DatasetConfig
from llem_config.foreign_files import ForeignFileError, opened
from llem_energy._errors import DatasetError
from llem_energy._hub import expanded

AUTO, NONE = "auto", "none"
_MAX_BYTES = 2**20


def template_file(dataset: DatasetConfig) -> Path | None:
    """Return the file that `dataset.chat_template` names; None if it names none."""
    template = dataset.chat_template
    return None if template in (None, AUTO, NONE) else expanded(str(template))


def read_template(path: Path) -> str:
    """Return the text of a chat template.

    Raises:
        DatasetError: it cannot be read, or is no text.
    """
    where = f"dataset.chat_template: {path}"
    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no file"
            raise DatasetError(
                f"{where}: expected a file with a Jinja template, found {found}; correct the path, "
                "or use auto or none"
            )
        with opened(path) as file:
            content = file.read(_MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except ForeignFileError as error:
        raise DatasetError(f"dataset.chat_template: {error}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{where}: expected UTF-8 text, found other bytes") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DatasetError(f"{where}: cannot be read: {reason}") from error
    if len(content) > _MAX_BYTES:
        raise DatasetError(f"{where}: expected up to {_MAX_BYTES:,} bytes, found more")
    if not text.strip():
        raise DatasetError(f"{where}: expected a Jinja template, found an empty file")
    return text


def template_problem(dataset: DatasetConfig) -> str | None:
    """Return why the file of the chat template cannot be read; None if it can, or there is none."""
    try:
        if path := template_file(dataset):
            read_template(path)
    except DatasetError as error:
        return str(error)
    return None
