"""`llem-cli schema` and `llem-cli config`: what may be written, and what is set here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import Json
from llem_cli._display.console import say, show_json
from llem_config import ConfigError, Fault, load_settings, settings_path, study_json_schema

Install = Annotated[bool, Parameter(negative=())]
SCHEMA_FILE = Path("llem-study.schema.json")


def schema(*, install: Install = False, output: Path | None = None) -> int:
    """Print the JSON schema of a study file, for editors.

    Args:
        install: write it to a file, and print the line that makes an editor use it.
        output: that file; llem-study.schema.json in the current folder if not given.
    """
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
    # To be put at the top of a study file; a relative path counts from there.
    say(f"# yaml-language-server: $schema={path.as_posix()}")
    return OK


def config(*, json_: Json = False) -> int:
    """Print this machine's settings and the file they come from.

    Args:
        json_: print them as one JSON object.
    """
    settings = load_settings()
    if json_:
        show_json(settings.model_dump_json(indent=2).encode())
        return OK
    path = settings_path()
    say(f"# {path}" + ("" if path.is_file() else " (not there; these are defaults)"))
    for section, values in settings.model_dump(mode="json").items():
        say(f"{section}:")
        for name, value in values.items():
            say(f"  {name}: {json.dumps(value)}")
    return OK
