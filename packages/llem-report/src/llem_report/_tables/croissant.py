"""`croissant.json`: exported tables as a Croissant data set, for data hubs.

Source: Croissant Format Specification 1.0 (docs.mlcommons.org/croissant).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llem_report._analysis.subject import of_inference
from llem_report._tables.columns import Column
from llem_report._tables.data_package import MEDIA_TYPES, WrittenTable
from llem_report._tables.table_data import ABOUT
from llem_runner.records import StudyManifest

CROISSANT = "croissant.json"
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_TYPES = {
    "integer": "sc:Integer",
    "number": "sc:Float",
    "boolean": "sc:Boolean",
    "text": "sc:Text",
    "texts": "sc:Text",
    "time": "sc:DateTime",
}


def croissant(
    manifest: StudyManifest, tables: Sequence[WrittenTable], subject: str | None
) -> dict[str, Any]:
    """Return the description of exported tables as plain JSON-LD.

    Args:
        manifest: of the study.
        tables: that were written.
        subject: what was measured, `energy` or `speed`; None: nothing, or it is not known.
    """
    about = of_inference(subject)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": manifest.study_name,
        "description": (
            f"{about[0].upper()}{about[1:]}: the llem study {manifest.study_name} with the design hash "
            f"{manifest.study_design_hash}."
        ),
        "datePublished": (manifest.ended_at or manifest.started_at)[:10],
        "distribution": [_file(each) for each in tables],
        "recordSet": [_records(each) for each in tables],
    }


def _file(table: WrittenTable) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": table.path.name,
        "name": table.path.name,
        "contentUrl": table.path.name,
        "contentSize": f"{table.n_bytes} B",
        "encodingFormat": MEDIA_TYPES[table.format],
        "sha256": table.sha256,
    }


def _records(table: WrittenTable) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": table.table,
        "name": table.table,
        "description": ABOUT[table.table],
        "field": [_field(each, table) for each in table.columns],
    }


def _field(column: Column, table: WrittenTable) -> dict[str, Any]:
    unit = f" Unit: {column.unit}." if column.unit else ""
    source = (
        {"jsonPath": f"$['{column.name}']"} if table.format == "jsonl" else {"column": column.name}
    )
    return {
        "@type": "cr:Field",
        "@id": f"{table.table}/{column.name}",
        "name": f"{table.table}/{column.name}",
        "description": column.description + unit,
        "dataType": _TYPES[column.type],
        "source": {"fileObject": {"@id": table.path.name}, "extract": source},
    } | ({"repeated": True} if column.type == "texts" and table.format != "csv" else {})
