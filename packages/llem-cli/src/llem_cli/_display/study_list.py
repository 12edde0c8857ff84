"""What `llem-cli study list` prints: a row for each study."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from llem_cli._display.console import add_row, plain_table, print_table, say
from llem_runner.records import ListedStudy


def show_studies(where: Path, studies: Sequence[ListedStudy]) -> None:
    """Print the studies of a folder as a table, and why some cannot be read."""
    table = plain_table()
    for name in ("started", "state", "points", "runs", "folder"):
        table.add_column(
            name,
            justify="right" if name in ("points", "runs") else "left",
            no_wrap=name != "folder",
            overflow="fold",
        )
    for study in studies:
        add_row(table, _cells(study))
    print_table(table)
    for study in studies:
        if study.problem is not None:
            say(f"warning: {study.problem}")
    say(
        f"{len(studies)} {'study' if len(studies) == 1 else 'studies'} in {where}; "
        "`llem-cli study show FOLDER` shows one"
    )


def _cells(study: ListedStudy) -> tuple[str, ...]:
    if study.started_at is None or study.totals is None:
        return "-", study.state, "-", "-", study.folder
    totals = study.totals
    n_runs = sum(
        (totals.pending, totals.running, totals.completed, totals.failed, totals.interrupted)
    )
    started = datetime.fromisoformat(study.started_at).astimezone()
    return (
        "-" if study.state == "not started" else f"{started:%Y-%m-%d %H:%M}",
        study.state,
        str(study.n_points),
        f"{totals.completed}/{n_runs}",
        study.folder,
    )
