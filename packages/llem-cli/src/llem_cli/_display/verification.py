"""What `llem-cli study verify` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from llem_cli._display.console import MAX_LINES, add_row, count, plain_table, print_table, say
from llem_runner.records import Start
from llem_runner.verification import (
    CheckedFile,
    CheckedInput,
    CheckedVersion,
    Requirement,
    Verification,
)

_IS_MET = {True: "yes", False: "no", None: "unknown"}


def show_verification(found: Verification, *, every_file: bool = False) -> None:
    """Print the verdict, then what it is made of.

    Args:
        found: what the verification has found.
        every_file: also list the intact files.
    """
    say(f"{found.study_name}: {found.verdict}; {found.reason}")
    if found.is_running is None:
        say(
            "the study may be running: an attempt at a shard on another machine has not ended, as far as its "
            "files say; `study show` says when it gave the last sign of life"
        )
    if found.is_running:
        say(
            "the study is running, so its files are still changing; verify it again when it has ended"
        )
    _show_files(found.files, every_file=every_file)
    _show_starts(found.starts)
    _show_versions(found)
    _show_inputs(found.inputs)
    _show_requirements(found.requirements)
    say("")
    say(f"SHA-256 of manifest.json, which has the other digests: {found.manifest_sha256}")
    if found.archive_sha256:
        say(f"SHA-256 of the archive: {found.archive_sha256}")


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table below a line; a long one is cut."""
    rows = list(rows)
    if not rows:
        return
    say("")
    say(title)
    table = plain_table()
    for column in columns:
        table.add_column(column)
    for row in rows[:MAX_LINES]:
        add_row(table, row)
    print_table(table)
    if len(rows) > MAX_LINES:
        say(f"and {len(rows) - MAX_LINES} more; --json lists all")


def _show_files(files: Sequence[CheckedFile], *, every_file: bool) -> None:
    counts = Counter(file.state for file in files)
    text = ", ".join(f"{number} {state}" for state, number in counts.most_common())
    order = ("missing", "changed", "foreign", "unverifiable", "intact")
    shown = [file for file in files if every_file or file.state != "intact"]
    shown.sort(key=lambda file: order.index(file.state))
    _table(
        f"files: {text}",
        ("state", "file", "why"),
        ((file.state, file.name, file.reason or "") for file in shown),
    )
    if not shown:
        say(f"files: {text}")


def _show_starts(starts: Sequence[Start]) -> None:
    _table(
        "started by",
        ("start", "when (UTC)", "machine", "commit of llem", "command"),
        (
            (
                str(start.session),
                start.started_at[:19],
                start.host,
                _code(start),
                " ".join(start.command),
            )
            for start in starts
        ),
    )


def _code(start: Start) -> str:
    code = start.code
    if code.commit is None:
        return code.reason or "unknown"
    changed = {True: ", with changed files", False: "", None: ", changes unknown"}[code.is_changed]
    return f"{code.commit[:12]}{changed}"


def _show_versions(found: Verification) -> None:
    rows = (_version(each) for each in found.versions)
    if found.versions:
        n = len({each.package for each in found.versions})
        title = f"packages: {found.n_same_versions} as then, {count(n, 'other')}"
        _table(title, ("package", "then", "now", "start"), rows)
    elif found.n_same_versions:
        say("")
        say(f"packages: all {found.n_same_versions} as then")


def _version(each: CheckedVersion) -> tuple[str, ...]:
    return each.package, each.then or "-", each.now or "not installed", str(each.session)


def _show_inputs(inputs: Sequence[CheckedInput]) -> None:
    _table(
        "models and data on this machine",
        ("state", "what", "name", "SHA-256 then", "why"),
        (
            (each.state, each.role, each.name, (each.then_sha256 or "-")[:12], each.reason or "")
            for each in inputs
        ),
    )


def _show_requirements(requirements: Sequence[Requirement]) -> None:
    _table(
        "to measure it again here",
        ("here", "needs", "found"),
        ((_IS_MET[each.is_met], each.what, each.reason) for each in requirements),
    )
