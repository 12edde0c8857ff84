"""docs/glossary.md has the words that the program uses, each once, and which-energy.md real fields."""

from __future__ import annotations

import re

import pytest
from workspace.repository import ROOT

from llem_energy import ExperimentResult
from llem_energy.records import Baseline, DeviceWindow, EnvironmentSnapshot, ErrorBudget

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text("utf-8")
WORDS = re.findall(r"^\| ([a-z][^|]*?) \|", GLOSSARY, re.MULTILINE)[1:]
WHICH_ENERGY = (ROOT / "docs" / "which-energy.md").read_text("utf-8")
NEEDED = (
    *(
        "point",
        "run",
        "cycle",
        "pass",
        "window",
        "bound",
        "uncertainty",
        "flagged",
        "gain",
        "block",
    ),
    *("guard", "calibration", "factor", "level"),
)


def test_the_words_are_in_order_and_each_is_there_once() -> None:
    assert sorted(set(WORDS)) == WORDS
    assert set(NEEDED) <= set(WORDS)


@pytest.mark.parametrize("word", WORDS)
def test_code_or_another_document_uses_the_word(word: str) -> None:
    others = [path for path in (ROOT / "docs").glob("*.md") if path.name != "glossary.md"]
    texts = [*others, ROOT / "README.md", *(ROOT / "packages").glob("*/src/**/*.py")]
    pattern = re.compile(rf"\b{re.escape(word)}s?\b".replace(r"\ ", r"\s+"), re.IGNORECASE)
    assert any(pattern.search(path.read_text("utf-8")) for path in texts)


def test_the_energies_of_the_page_are_fields_of_a_result() -> None:
    structs = (ExperimentResult, ErrorBudget, Baseline, DeviceWindow, EnvironmentSnapshot)
    fields = {name for struct in structs for name in struct.__struct_fields__}
    named = re.findall(r"`((?:[a-z_]+\.)?[a-z]+(?:_[a-z]+)+)(?:: [a-z]+)?`", WHICH_ENERGY)
    assert len(named) > 10
    of_studies = {"max_input_tokens", "ignore_eos", "decoder.ignore_eos", "carbon_intensity_source"}
    unknown = [name for name in named if name.rpartition(".")[2] not in fields | of_studies]
    assert unknown == []
