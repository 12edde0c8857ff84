"""`llem-cli study merge`: the runs of several folders, or of the shards of one, as one study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import Json, Tracebacks
from llem_cli._commands.study.folder import check_folders, usage_error
from llem_cli._display.console import MAX_LINES, count, first_prefixed, note, say, show_json
from llem_cli._display.node_energy import node_energy_lines
from llem_config import LlemError
from llem_runner import MergedStudy, merge_studies
from llem_runner.clusters import ask_node_energy, damaged_node_energy
from llem_runner.records import encode_json
from llem_runner.shards import damaged_attempts, is_divided, merge_study


def merge(
    out: Annotated[
        Path, Parameter(help="Folder to make; or the folder of a divided study, and no other.")
    ],
    /,
    *folder: Annotated[Path, Parameter(help="Folders of the studies, at least two.")],
    copy: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Copy files instead of making hard links, which need no space but the same file "
            "system.",
        ),
    ] = False,
    json_: Json = False,
    verbose: Tracebacks = False,
) -> int:
    """Merge the folders of studies into a new one, or the shards of one study."""
    del verbose  # read where errors are explained
    if not folder and is_divided(out):
        for sentence in damaged_node_energy(
            out
        ):  # before an answer of the cluster replaces the file
            note(f"warning: {sentence}")
        _ask_node_energy(out)
        result = merge_study(out)
        if json_:
            show_json(encode_json(result))
        else:
            summary = result.summary
            say(
                f"{out}: {count(len(summary.points), 'point')}, {count(summary.planned, 'run')}, "
                f"{summary.completed} completed, {summary.failed} failed"
            )
            for line in node_energy_lines(summary.node_energy):
                say(line)
        for sentence in damaged_attempts(out):
            note(f"warning: {sentence}")
        return OK
    if len(folder) < 2:
        raise usage_error("FOLDER", f"expected at least 2 folders to merge, found {len(folder)}")
    check_folders(folder)
    _check_different(folder)
    merged = merge_studies(out, folder, copy=copy)
    if json_:
        show_json(encode_json(merged))
    else:
        _show(merged)
    return OK


def _ask_node_energy(folder: Path) -> None:
    """Ask the clusters of a study for the energy of its machines; without an answer it is merged too."""
    try:
        open_reasons = ask_node_energy(folder).open_reasons
    except LlemError as error:
        open_reasons = (str(error),)
    for reason in open_reasons[:MAX_LINES]:
        note(f"energy of whole machines: {reason}")


def _check_different(folders: Sequence[Path]) -> None:
    """Return if no folder is named twice.

    Raises:
        ConfigError: one is, maybe by another path.
    """
    seen: dict[Path, Path] = {}
    for folder in folders:
        first = seen.setdefault(folder.resolve(), folder)
        if first is not folder:
            as_well = "" if first == folder else f", also as {first}"
            raise usage_error(
                "FOLDER", f"expected each folder once, found {folder} twice{as_well}; name it once"
            )


def _show(merged: MergedStudy) -> None:
    say(
        f"{merged.folder}: {count(merged.n_points, 'point')}, {count(merged.n_runs, 'run')}, "
        f"{merged.n_completed} completed"
    )
    for number, name in enumerate(merged.shards, 1):
        say(f"shard {number}: {name}")
    for line in first_prefixed(merged.warnings, "warning: "):
        say(line)
