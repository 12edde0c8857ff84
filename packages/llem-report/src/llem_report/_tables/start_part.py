"""The columns that trace a run to the start of its study, and to the code of llem that measured it."""

from __future__ import annotations

from typing import Any

from llem_report._tables.columns import column
from llem_report._tables.run_records import RunRecord
from llem_report._tables.struct_columns import Part
from llem_runner.records import Start

_STARTS = "manifest.json: starts[]"
_COLUMNS = (
    column(
        "session",
        "integer",
        "Number of the start of the study that measured the run, from 1; in a divided study, of the "
        "attempt at its shard. None before the run has started.",
        "manifest.json: entries[].session",
    ),
    column(
        "llem_commit",
        "text",
        "Commit of llem at that start; None if it is unknown.",
        f"{_STARTS}.code.commit",
    ),
    column(
        "llem_is_changed",
        "boolean",
        "Whether files of llem differed from that commit, new files included; None if unknown.",
        f"{_STARTS}.code.is_changed",
    ),
    column(
        "command", "text", "Command line of that start, without passwords.", f"{_STARTS}.command"
    ),
)


def start_part() -> Part:
    """Return the columns of the start of a run."""
    return Part(_COLUMNS, _values)


def _values(record: RunRecord) -> tuple[Any, ...]:
    session = record.entry.session if record.entry else None
    start = _start(record)
    if start is None:
        return session, None, None, None
    return session, start.code.commit, start.code.is_changed, " ".join(start.command)


def _start(record: RunRecord) -> Start | None:
    entry = record.entry
    if entry is None or entry.session is None:
        return None
    key = (entry.session, entry.shard)
    return next((s for s in record.manifest.starts if (s.session, s.shard) == key), None)
