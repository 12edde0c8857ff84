"""`llem-cli study verify`: whether a study is as it was measured, and what could be measured again."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from llem_cli._app import FAILED, OK
from llem_cli._commands.options import Json, Tracebacks
from llem_cli._commands.study.folder import StudyOrArchive, check_studies
from llem_cli._display.console import show_json
from llem_cli._display.verification import show_verification
from llem_runner import verify_study
from llem_runner.records import encode_json


def verify(
    study: StudyOrArchive,
    /,
    *,
    files_only: Annotated[
        bool,
        Parameter(
            negative=(), help="Check the files only, not the models and devices of this machine."
        ),
    ] = False,
    json_: Json = False,
    verbose: Tracebacks = False,
) -> int:
    """Check the files of a study against their digests, and this machine against the study."""
    check_studies([study])
    found = verify_study(study, files_only=files_only)
    if json_:
        show_json(encode_json(found))
    else:
        show_verification(found, every_file=verbose)
    return OK if found.verdict == "intact" else FAILED
