"""Phrases that a reader has to read twice stay out of code, messages, documents and tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for pattern in (
        *("*.md", "docs/**/*.md", "packages/**/*.md", ".github/**/*.yml", "scripts/**/*.py"),
        *(
            "packages/**/*.py",
            "tests/**/*.py",
            "benchmarks/**/*.py",
            "benchmarks/**/*.md",
            "examples/**/*.yaml",
        ),
    )
    for path in ROOT.glob(pattern)
    if path != Path(__file__) and ".venv" not in path.parts
)
# A phrase and what to write instead. A space matches a line break too, with its comment sign.
PHRASES = {
    r"for want of": "without, because there is no",
    r"foretold|foretells?": "expected, predicted",
    r"(is|are|was|were) told": "is reported, is shown, is known",
    r"whoever|whosoever": "the person who, any caller",
    r"it is all that": "only, nothing else",
    r"so many": "the number: for N seconds",
    r"goes on where|go on where": "continues from where",
    r"stands still|stood still": "does not change",
    r"as it may be|whatever becomes of|what becomes of": "say what happens",
    r"(?<!~)nobody|somebody": "no package, another user",
    r"lets? go of": "closes, releases",
    r"of its own kind": "say which kind",
    r"for ever": "always, without end",
    r"stands? in for": "replaces",
    r"speaks? against": "is a reason not to",
    r"asked for|asks? of": "requested, requires",
    r"goes on": "continues",
    r"made of the": "from, consists of",
    r"(is|are|was|were|be) handed (on|down|over)": "is passed to",
    r"tells (of|whether)": "return whether, reports",
    r"in vain|at hand|as yet|lest|save for|owing to|upon": "without effect, here, so far, except",
    r"thereby|whereby|hence|whence|thereof|hitherto|shall": "so, from it, until now, must",
    r"f(alls?|ell) silent|beyond doubt|says of itself": "is not updated, certain, reports",
    r"the front door|front doors?|rooms one can|in the house": "public API, sub-package",
}
PATTERNS = {
    phrase: re.compile(rf"\b(?:{phrase})\b".replace(" ", r"(?:\s|#|\*)+"), re.IGNORECASE)
    for phrase in PHRASES
}


@pytest.mark.parametrize("phrase", PHRASES)
def test_no_file_contains_the_phrase(phrase: str) -> None:
    places = []
    for path in FILES:
        text = path.read_text("utf-8")
        for match in PATTERNS[phrase].finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            places.append(f"{path.relative_to(ROOT)}:{line}: {' '.join(match[0].split())}")
    assert places == [], f"write instead: {PHRASES[phrase]}"


def test_a_phrase_is_detected_across_a_line_break_and_in_capitals() -> None:
    assert PATTERNS["for want of"].search("left out, For want\n    # of a better word")
    assert not PATTERNS["for want of"].search("what you want of it")


def test_no_file_has_the_markers_of_a_merge() -> None:
    marker = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
    assert [path for path in FILES if marker.search(path.read_text(encoding="utf-8"))] == []
