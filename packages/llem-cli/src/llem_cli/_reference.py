"""`llem-cli schema` and `llem-cli config`: what may be written, and what is set here."""

from __future__ import annotations

import json

from llem_cli._app import OK
from llem_cli._display import say, show_json
from llem_cli._options import Json
from llem_config import load_settings, settings_path, study_json_schema


def schema() -> int:
    """Print the JSON schema of a study file, for editors."""
    show_json(json.dumps(study_json_schema(), indent=2).encode())
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
