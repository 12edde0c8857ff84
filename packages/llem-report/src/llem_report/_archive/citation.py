"""`CITATION.cff`: how to cite the archive, in the Citation File Format 1.2.0.

Source: the schema of the Citation File Format, version 1.2.0. JSON is YAML too, and quotes every text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from llem_config.text import visible
from llem_report._archive.authors import Author
from llem_report._archive.licences import Licence
from llem_report._methods.records import Methods


def citation_cff(
    methods: Methods,
    authors: Sequence[Author],
    licence: Licence,
    *,
    title: str,
    subject: str | None,
    date: str,
) -> str:
    """Return the text of the file.

    Args:
        methods: of the study.
        authors: of the archive; without any, the study is cited as anonymous.
        licence: of the archive.
        title: of the archive.
        subject: what was measured, `energy` or `speed`; None: nothing.
        date: day on which the study ended, ISO 8601.
    """
    fields: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use this data set, please cite it as below.",
        "type": "dataset",
        "title": title,
        "authors": [_author(author) for author in authors] or [{"name": "anonymous"}],
        "abstract": f"{methods.what[0]} {methods.finding}",
        "date-released": date,
        "version": methods.study_design_hash,
        "keywords": [*([subject] if subject else []), "inference", "large language models"],
    }
    if licence.spdx is not None:
        fields["license"] = licence.spdx
    return "".join(_lines(fields))


def _author(author: Author) -> dict[str, str]:
    named = (
        {"name": author.name}
        if author.name
        else {"family-names": author.family, "given-names": author.given}
    )
    return {key: value for key, value in (named | {"orcid": author.orcid}).items() if value}


def _lines(fields: dict[str, Any]) -> Iterator[str]:
    for key, value in fields.items():
        if isinstance(value, list):
            yield f"{key}:\n"
            yield from (f"  - {_scalar(item)}\n" for item in value)
        else:
            yield f"{key}: {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    """Return a value in one line; an object of JSON is a flow mapping of YAML."""
    if isinstance(value, str):
        value = visible(value)
    return json.dumps(value, ensure_ascii=False)
