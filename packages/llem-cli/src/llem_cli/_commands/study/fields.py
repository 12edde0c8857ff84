"""`llem-cli study fields`: what a study file may contain, in words."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import Json
from llem_cli._commands.study.folder import usage_error
from llem_cli._display.console import show_json
from llem_cli._display.study_fields import list_fields, show_fields
from llem_config.fields import UnknownFieldError, find_fields, related_fields, study_fields

Words = Annotated[
    str,
    Parameter(help="A field, a section, a part of a name, another tool's name, or any other word."),
]


def fields(*words: Words, json_: Json = False) -> int:
    """List the fields of a study file, or explain those that a word names.

    Explains meaning, values, default, whether the field may be swept, and what it does to energy.
    """
    word = " ".join(words)
    try:
        found = study_fields() if not words else find_fields(word)
    except UnknownFieldError as error:
        raise usage_error("", str(error)) from error
    if json_:
        described = [dataclasses.asdict(field) for field in found]
        show_json(json.dumps(described, indent=2, ensure_ascii=False))
    elif not words:
        list_fields(found)
    else:
        show_fields(found, related_fields(word))
    return OK
