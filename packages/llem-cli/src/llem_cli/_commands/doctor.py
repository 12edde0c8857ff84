"""`llem-cli doctor`: what this machine can measure, how well, and what is in the way."""

from __future__ import annotations

from llem_cli._app import FAILED, OK
from llem_cli._commands.options import Json, Verbose
from llem_cli._display.console import note, show_json
from llem_cli._display.doctor import show_diagnosis
from llem_config import load_settings
from llem_energy import diagnose
from llem_runner import encode_json


def doctor(*, json_: Json = False, verbose: Verbose = False) -> int:
    """Show what this machine can measure, how well, and what is in the way.

    Watches every meter for a second, up to six where one is slow. Exits with 0 if energy can be
    measured, with 1 if no source of it can be read.

    Args:
        json_: print the Diagnosis.
        verbose: show tracebacks.
    """
    del verbose  # read where errors are explained
    found = diagnose(load_settings(), on_stage=lambda stage: note(f"{stage} ..."))
    if json_:
        show_json(encode_json(found))
    else:
        show_diagnosis(found)
    return OK if found.measurable else FAILED
