"""The codebook: what every column of the tables means, as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from llem_report._tables.data_package import PACKAGE

_HEAD = ("table", "column", "type", "unit", "meaning")
_Row = tuple[str, str, str, str, str]


def codebook_rows(tables: Path) -> list[_Row]:
    """Return a row for each column of exported tables.

    Args:
        tables: the folder of the tables, with the file that describes them.
    """
    package = json.loads((tables / PACKAGE).read_text("utf-8"))
    return list(_rows(package))


def _rows(package: dict[str, object]) -> Iterator[_Row]:
    resources = package["resources"]
    assert isinstance(resources, list)
    for resource in resources:
        for field in resource["schema"]["fields"]:
            yield (
                resource["path"],
                field["name"],
                field["type"],
                field.get("unit", ""),
                field.get("description", ""),
            )


def codebook_csv(rows: list[_Row]) -> str:
    """Return the codebook as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_HEAD, *rows])
    return text.getvalue()


def codebook_markdown(rows: list[_Row]) -> str:
    """Return the codebook as Markdown, one table of columns for each file."""
    lines = [
        "# Codebook",
        "",
        "What every column of the tables in `data/tables` means. An empty cell was not measured; it is",
        "never 0 in place of a missing figure.",
    ]
    table = None
    for row in rows:
        if row[0] != table:
            table = row[0]
            lines += [
                "",
                f"## {table}",
                "",
                "| column | type | unit | meaning |",
                "| --- | --- | --- | --- |",
            ]
        lines.append("| " + " | ".join(_cell(cell) for cell in row[1:]) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
