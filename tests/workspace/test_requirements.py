"""Every requirement in docs/requirements.md is covered by tests, and its table is correct."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "requirements.md").read_text("utf-8").splitlines()
    if re.match(r"\| [A-Z]+-", line)
]


def ids(text: str) -> set[str]:
    """Return the ids in a text, ranges such as `CFG-01 to CFG-10` or `CFG-18..26` spelled out."""
    named = set(re.findall(r"\b(?:CFG|STU|LA|CM|CLI|RES)(?:-NEW)?-\d\d\b", text))
    ranges = re.findall(r"\b([A-Z]+)-(\d\d)\s*(?:\.\.|to)\s*(?:[A-Z]+-)?(\d\d)\b", text)
    for family, first, last in ranges:
        named |= {f"{family}-{number:02}" for number in range(int(first), int(last) + 1)}
    return named


def test_every_requirement_is_named_by_a_test_module_and_every_name_is_a_requirement() -> None:
    covered: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        if path == Path(__file__):
            continue
        text = path.read_text("utf-8")
        covered |= ids(text[3 : text.index('"""', 3)] if text.startswith('"""') else "")
    required = {name for row in ROWS for name in ids(row[0])}
    assert len(required) > 70
    assert covered == required


def test_every_requirement_has_a_sentence_and_names_places_that_exist() -> None:
    for numbers, meaning, places in ROWS:
        assert meaning.endswith("."), numbers
        for place in re.findall(r"`([^`]+)`", places):
            package, _, rest = place.partition("/")
            source = ROOT / "packages" / f"llem-{package}" / "src" / f"llem_{package}"
            assert (source / rest).exists(), f"{numbers}: {place}"
        assert "`" in places, numbers
