"""Every row of the requirements table is named by the tests that would fail without it."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]

REQUIREMENTS = [
    *(f"CFG-{number:02}" for number in (*range(1, 17), *range(18, 27))),
    *(f"STU-{number:02}" for number in (1, 2, 3, 4, 6, 7, 8, 9, 10, 11)),
    *("STU-NEW-01", "LA-02", "LA-05", "CM-10", "CM-16", "CLI-05", "CLI-11"),
    *("RES-06", "RES-13", "RES-14", "RES-15", "RES-16", "RES-NEW-01"),
]


def named(text: str) -> set[str]:
    """Return the ids in a text, ranges such as `CFG-01 to CFG-10` or `CFG-18..26` spelled out."""
    found = set(re.findall(r"\b(?:CFG|STU|LA|CM|CLI|RES)(?:-NEW)?-\d\d\b", text))
    ranges = re.findall(r"\b([A-Z]+)-(\d\d)\s*(?:\.\.|to)\s*(?:[A-Z]+-)?(\d\d)\b", text)
    for family, first, last in ranges:
        found |= {f"{family}-{number:02}" for number in range(int(first), int(last) + 1)}
    return found


def test_every_requirement_is_named_by_a_test_module() -> None:
    covered: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        if path == Path(__file__):
            continue
        text = path.read_text("utf-8")
        docstring = text[3 : text.index('"""', 3)] if text.startswith('"""') else ""
        covered |= named(docstring)
    assert [name for name in REQUIREMENTS if name not in covered] == []
