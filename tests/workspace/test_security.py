"""Each promise of SECURITY.md names a test or a kind of the hostile campaign, and all of them exist."""

from __future__ import annotations

import ast
import re

from workspace.repository import ROOT

from benchmarks.hostile_campaign import KINDS

TEXT = (ROOT / "SECURITY.md").read_text("utf-8")
PROMISES = [
    line.strip("| ").split(" | ")
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith(("| promise", "| ---"))
]


def test_each_promise_names_how_it_is_tested() -> None:
    assert len(PROMISES) > 15
    for promise, tests in PROMISES:
        assert re.findall(r"`(?:campaign: .+?|tests/.+?)`", tests), promise


def test_the_tests_exist() -> None:
    for file, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TEXT):
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not name or name in names, f"{file}::{name}"


def test_every_kind_of_the_campaign_tests_a_promise_and_no_other_is_named() -> None:
    named = set(re.findall(r"`campaign: (.+?)`", TEXT)) - {"KIND"}
    assert named == {kind.name for kind in KINDS}


def test_readme_and_contributing_link_the_page() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        assert "(SECURITY.md)" in (ROOT / name).read_text("utf-8")
