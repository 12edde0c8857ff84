"""`llem-cli doctor`: what this machine can measure, how accurately, and what prevents it."""

from __future__ import annotations

from llem_cli._app import FAILED, OK
from llem_cli._commands.options import Json, Tracebacks
from llem_cli._display.console import note, show_json
from llem_cli._display.doctor import show_diagnosis
from llem_config import load_settings
from llem_energy.doctor import diagnose
from llem_runner.records import encode_json


def doctor(*, json_: Json = False, verbose: Tracebacks = False) -> int:
    """Show what this machine can measure, how accurately, and what prevents it.

    Reads every meter for one second, or up to six seconds if it updates slowly. Returns 0 if
    energy can be measured, and 1 if no energy source can be read.
    """
    del verbose  # read where errors are explained
    diagnosis = diagnose(load_settings(), on_stage=lambda stage: note(f"{stage} ..."))
    if json_:
        show_json(encode_json(diagnosis))
    else:
        show_diagnosis(diagnosis)
    return OK if diagnosis.measurable else FAILED
