"""docs/study.md is what its script writes."""

from __future__ import annotations

from llem_config.fields import study_fields
from scripts.study_reference import PAGE, page


def test_the_page_of_the_study_file_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(study_fields()), (
        "run `uv run python scripts/study_reference.py` and commit docs/study.md"
    )


def test_the_page_has_every_field_once() -> None:
    lines = PAGE.read_text("utf-8").splitlines()
    headings = [line for line in lines if line.startswith("### ")]
    assert sorted(headings) == sorted(f"### `{field.key}`" for field in study_fields())
