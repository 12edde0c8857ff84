"""docs/architecture.md is complete: layers, sub-packages, and private names of other libraries."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from workspace.repository import PACKAGES, ROOT, source_folder, sources

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
FOREIGN = PAGE[PAGE.index("## Foreign internals") :]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_shows_the_layers_of_the_contract(package: str) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = [c["layers"] for c in contracts if c.get("containers") == [package]]
    (block,) = re.findall(rf"```text {package}\n(.*?)```", PAGE, re.DOTALL)
    assert block.splitlines() == layers


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_names_each_sub_package_and_module_at_the_top_of_a_package(package: str) -> None:
    section = PAGE[PAGE.index(f"### {package.replace('_', '-')}") :]
    tables = section[: section.index("\n##", 1)] if "\n##" in section[1:] else section
    for path in source_folder(package).iterdir():
        if path.stem in {"__init__", "__main__", "__pycache__", "_errors"} or path.stem == "py":
            continue
        assert f"`{path.stem}`" in tables, path


def private_names(path: Path) -> Iterator[str]:
    """Yield private names that a file reads from objects defined elsewhere."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name) if re.match(r"_[a-z]", name):
                yield name
            case ast.Constant(value=str(name)) if re.fullmatch(r"_[a-z]+(_[a-z]+)+", name):
                yield name


def defined_names() -> set[str]:
    names = {"_exit"}  # `os._exit` is public despite its name
    for package in PACKAGES:
        for path in sources(package):
            names |= set(re.findall(r"(?:def |self\.|class )(_[a-z]\w*)", path.read_text("utf-8")))
    return names


def test_the_page_lists_every_private_name_of_another_library() -> None:
    ours = defined_names()
    used = {
        name: path.name
        for package in PACKAGES
        for path in sources(package)
        for name in private_names(path)
        if name not in ours
    }
    assert {"_prefill", "_dynamo", "_nvmlGetFunctionPointer"} <= set(used)
    assert [f"{file}: {name}" for name, file in used.items() if name not in FOREIGN] == []


def test_the_tests_that_the_page_names_exist() -> None:
    for name in re.findall(r"`(tests/[^`]+)`", PAGE):
        assert (ROOT / name).exists(), name
