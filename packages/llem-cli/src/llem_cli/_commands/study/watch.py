"""`llem-cli study watch`: a page that shows a study while it runs."""

from __future__ import annotations

import os
import webbrowser
from multiprocessing.connection import wait
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from llem_cli._app import OK
from llem_cli._commands.options import WHOLE, Tracebacks
from llem_cli._commands.study.folder import StudyFolder, check_folders
from llem_cli._display.console import note, say
from llem_cli._display.streams import results
from llem_cli._signals import controlled_by_terminal
from llem_report.watching import WatchServer

_NICENESS = 10  # runs that are measured on the same CPUs go first

Port = Annotated[
    int,
    WHOLE,
    Parameter(
        validator=Number(gte=0, lte=65535), help="Port of 127.0.0.1 (default: a random free one)."
    ),
]
Open = Annotated[
    bool, Parameter(name="--open", negative=(), help="Open the page in the default browser.")
]


def watch(
    folder: StudyFolder,
    /,
    *,
    port: Port = 0,
    open_: Open = False,
    verbose: Tracebacks = False,
) -> int:
    """Serve the page until Ctrl-C, and return the exit code."""
    del verbose  # read where errors are explained
    check_folders([folder])
    with controlled_by_terminal() as control, WatchServer(folder, port=port) as server:
        os.nice(_NICENESS)
        say(server.url)
        results().flush()  # a program may wait for the address
        note("Open this address in a browser on this machine. Ctrl-C ends the page, not the study.")
        if open_ and not webbrowser.open(server.url):
            note("warning: no browser was found; open the address yourself")
        while not control.stop_requested:
            wait([control.fileno()])
    return OK
