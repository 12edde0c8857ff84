"""`llem-cli study cancel`: cancel the shards of a study on its cluster."""

from __future__ import annotations

from collections import Counter

from llem_cli._app import FAILED, OK
from llem_cli._commands.options import Json, Tracebacks
from llem_cli._commands.study.folder import StudyFolder, check_folders
from llem_cli._display.console import count, say, show_json
from llem_runner.clusters import cancel_study
from llem_runner.records import encode_json


def cancel(folder: StudyFolder, /, *, json_: Json = False, verbose: Tracebacks = False) -> int:
    """Cancel all shards of a study that wait or run, and return the exit code."""
    del verbose  # read where errors are explained
    check_folders([folder])
    states = cancel_study(folder)
    phases = Counter(state.phase for state in states.values())
    if json_:
        show_json(encode_json(states))
    else:
        parts = [f"{n} {phase}" for phase, n in sorted(phases.items())]
        say(f"{folder}: {count(len(states), 'shard')} on the cluster: {', '.join(parts)}")
    return OK if set(phases) <= {"ended"} else FAILED
