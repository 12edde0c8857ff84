"""`llem-cli schema`, `config` and `completion`: what a study file may contain, and this machine's settings."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.completion_script import completion_script
from llem_cli._commands.options import Json
from llem_cli._display.console import note, print_text, say, show_json
from llem_config import ConfigError, Fault, study_json_schema
from llem_config.settings import ENV_PREFIX, load_settings, settings_path, variable_warnings
from llem_config.settings_file import write_setting

SCHEMA_FILE = Path("llem-study.schema.json")


def schema(
    *,
    install: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Write the schema to a file and print the line that makes editors use it.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        Parameter(help=f"File to write (default: {SCHEMA_FILE} in the current folder)."),
    ] = None,
    export: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Print the columns of exported tables instead: type, unit, meaning and source.",
        ),
    ] = False,
) -> int:
    """Print the JSON Schema of study files, or write it to a file for editors."""
    if export:
        return _show_columns()
    text = json.dumps(study_json_schema(), indent=2)
    if not install and output is None:
        show_json(text.encode())
        return OK
    path = output or SCHEMA_FILE
    try:
        path.write_text(text + "\n")
    except OSError as error:
        problem = f"cannot be written: {error.strerror}"
        raise ConfigError([Fault(path, 0, 0, "", problem)]) from error
    # The first line of a study file; editors resolve a relative path from that file.
    say(f"# yaml-language-server: $schema={path.as_posix()}")
    return OK


def _show_columns() -> int:
    from llem_report import export_columns  # imports the runner, which takes a second

    show_json(json.dumps(export_columns(), indent=2, ensure_ascii=False))
    return OK


def config(*, json_: Json = False) -> int:
    """Print this machine's settings and the file they come from."""
    settings = load_settings()
    for warning in variable_warnings():
        note(f"warning: {warning}")
    if json_:
        # Not by pydantic, which fails at a path that is not UTF-8.
        show_json(json.dumps(settings.model_dump(mode="json"), indent=2, ensure_ascii=False))
        return OK
    path = settings_path()
    say(f"# {path}" + ("" if path.is_file() else " (no such file; these are the defaults)"))
    for section, values in settings.model_dump(mode="json").items():
        say(f"{section}:" if values else f"{section}: {{}}")
        for name, value in values.items():
            say(f"  {name}: {json.dumps(value)}")
    return OK


def set_(
    key: Annotated[str, Parameter(help="Setting, as `config` prints it: section.name.")],
    value: Annotated[str, Parameter(help="Value, as in the file; null for none.")],
    /,
) -> int:
    """Change one setting in the settings file."""
    path = write_setting(key, value)
    say(f"{key}: {value}, in {path}")
    variable = f"{ENV_PREFIX}{key.replace('.', '__')}".upper()
    if os.environ.get(variable):
        note(f"warning: the environment variable {variable} overrides it")
    return OK


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the completion script for a shell."""
    print_text(completion_script(shell))
    return OK
