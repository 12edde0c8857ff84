"""The dictionary of columns: every column that an exported table can have."""

from __future__ import annotations

from typing import Any

import msgspec

from llem_report._tables.analysis_tables import level_columns, point_columns
from llem_report._tables.columns import Column
from llem_report._tables.open_parts import OpenPart
from llem_report._tables.run_file_tables import request_columns, sample_columns
from llem_report._tables.run_parts import run_parts
from llem_report._tables.table_data import ABOUT, KEYS, SCHEMA_VERSION, TABLES, TableName


def columns_of(table: TableName) -> tuple[Column, ...]:
    """Return the columns of a table, in order.

    A name with `NAME` or `N` is a pattern, such as `factor.NAME` or `gpu.N.name`: the study
    determines which of these columns there are.
    """
    match table:
        case "runs":
            return tuple(
                column
                for part in run_parts()
                for column in (part.patterns if isinstance(part, OpenPart) else part.columns)
            )
        case "requests":
            return request_columns()
        case "points":
            return point_columns()
        case "levels":
            return level_columns()
        case "samples":
            return sample_columns()


def export_columns() -> dict[str, Any]:
    """Return the columns of all tables as plain data, as `llem-cli schema --export` prints them."""
    return {
        "llem_schema_version": SCHEMA_VERSION,
        "tables": {
            name: {
                "description": ABOUT[name],
                "key": list(KEYS[name]),
                "columns": msgspec.to_builtins(columns_of(name)),
            }
            for name in TABLES
        },
    }
