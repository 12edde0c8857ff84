"""A table to be exported: its columns, and its rows in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from llem_report._tables.columns import Column, arrow_type

SCHEMA_VERSION = 1
"""Of the exported tables, in the metadata of a Parquet file."""

TableName = Literal["runs", "requests", "points", "levels", "samples"]
TABLES: tuple[TableName, ...] = get_args(TableName)

KEYS: dict[TableName, tuple[str, ...]] = {
    "runs": ("study_design_hash", "run_index"),
    "requests": ("study_design_hash", "run_index", "repeat", "batch", "prompt"),
    "points": ("study_design_hash", "config_hash"),
    "levels": ("study_design_hash", "factor", "a", "b"),
    "samples": ("study_design_hash", "run_index", "t_s", "device"),
}
"""The columns that together identify a row."""
ABOUT: dict[TableName, str] = {
    "runs": "One row per planned run of the study, and per point that its backend cannot run.",
    "requests": "One row per request in the measured windows of the completed runs.",
    "points": "One row per point: its figure over all runs, with a 95 % interval.",
    "levels": "One row per pair of levels of a factor: their ratio, everything else equal.",
    "samples": "One row per reading of a metered device, before, in and after the windows.",
}


class TableData(NamedTuple):
    """A table whose rows are made while they are written."""

    name: TableName
    columns: tuple[Column, ...]
    batches: Iterator[Any]
    """`pyarrow.Table` with the columns above; can be read once."""
    metadata: dict[str, str]

    def schema(self) -> Any:
        """Return the schema for Arrow and Parquet, with the meaning of the columns."""
        import pyarrow as pa

        fields = [pa.field(each.name, arrow_type(each.type)) for each in self.columns]
        return pa.schema(fields, metadata=self.metadata)


def metadata_of(columns: Sequence[Column], **more: str) -> dict[str, str]:
    """Return what the footer of a Parquet file states about a table."""
    described = {
        each.name: {"unit": each.unit, "description": each.description, "source": each.source}
        for each in columns
    }
    return {
        "llem_schema_version": str(SCHEMA_VERSION),
        "columns": msgspec.json.encode(described).decode(),
        **more,
    }
