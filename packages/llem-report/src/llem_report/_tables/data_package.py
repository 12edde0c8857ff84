"""`datapackage.json`: what the columns of exported files mean, as a Frictionless Data Package.

Source: the specifications Data Package 1 and Table Schema 1 (specs.frictionlessdata.io). `unit` is a
property of ours, which the specification permits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from llem_report._tables.columns import Column
from llem_report._tables.table_data import ABOUT, KEYS, SCHEMA_VERSION, TableName
from llem_report._tables.writing import Format
from llem_runner.records import StudyManifest

PACKAGE = "datapackage.json"
MEDIA_TYPES: dict[Format, str] = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv",
    "jsonl": "application/jsonl",
}
_TYPES = {"text": "string", "texts": "array", "time": "datetime"}


class WrittenTable(msgspec.Struct, frozen=True, kw_only=True):
    """A file with one table, and what is in it."""

    path: Path
    table: TableName
    format: Format
    columns: tuple[Column, ...]
    n_rows: int
    n_bytes: int
    sha256: str


def digest_of(path: Path) -> tuple[int, str]:
    """Return size in bytes and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()


def data_package(manifest: StudyManifest, tables: Sequence[WrittenTable]) -> dict[str, Any]:
    """Return the description of exported tables as plain data."""
    return {
        "profile": "data-package",
        "name": manifest.study_name.lower(),
        "title": f"llem study {manifest.study_name}",
        "study_design_hash": manifest.study_design_hash,
        "llem_schema_version": SCHEMA_VERSION,
        "resources": [_resource(each) for each in tables],
    }


def _resource(table: WrittenTable) -> dict[str, Any]:
    return {
        "profile": "tabular-data-resource",
        "name": table.table,
        "path": table.path.name,
        "description": ABOUT[table.table],
        "format": table.format,
        "mediatype": MEDIA_TYPES[table.format],
        "encoding": "utf-8",
        "bytes": table.n_bytes,
        "hash": f"sha256:{table.sha256}",
        "schema": {
            "fields": [_field(each, table.format) for each in table.columns],
            "missingValues": [""],
            **_key(table),
        },
    }


def _field(column: Column, kind: Format) -> dict[str, Any]:
    is_joined = column.type == "texts" and kind == "csv"
    field = {
        "name": column.name,
        "type": "string" if is_joined else _TYPES.get(column.type, column.type),
        "description": column.description,
    }
    return field | ({"unit": column.unit} if column.unit else {})


def _key(table: WrittenTable) -> dict[str, Any]:
    """Return the primary key; in `runs`, points that cannot run have no index."""
    return {} if table.table == "runs" else {"primaryKey": list(KEYS[table.table])}
