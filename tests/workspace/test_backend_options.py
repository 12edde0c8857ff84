"""Only the folder of a backend and its section in llem_config name the options of the backend."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from llem_config import PyTorchConfig, TensorRTConfig, VLLMConfig

PACKAGES = Path(__file__).parents[2] / "packages"
SECTIONS: dict[str, type[BaseModel]] = {
    "pytorch": PyTorchConfig,
    "vllm": VLLMConfig,
    "tensorrt": TensorRTConfig,
}
GENERAL = {"device", "revision", "quantization"}
"""Words that are also used for other things than an option of a backend."""


def is_own(path: Path, backend: str) -> bool:
    """Return whether a file belongs to the backend, or to the package's list of sections."""
    parts = path.parts
    return "_spec" in parts or parts[-3:-1] == ("_backends", backend)


def named(tree: ast.AST) -> Iterator[str]:
    """Yield every name, attribute, keyword and text that code uses; no comments or docstrings."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name):
                yield name
            case ast.keyword(arg=str(name)) | ast.Constant(value=str(name)):
                yield name


def uses(path: Path, backend: str) -> set[str]:
    section = SECTIONS[backend]
    options = section.model_fields.keys() - GENERAL
    if path.parts[-3] == "_backends" and path.parts[-2] != backend:
        options = set()  # two backends may have options of the same name
    names = set(named(ast.parse(path.read_text("utf-8"))))
    return names & {section.__name__, *options}


def reads_section(path: Path, backend: str) -> bool:
    """Return whether code reads `something.pytorch`, as in `config.pytorch`."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return any(isinstance(node, ast.Attribute) and node.attr == backend for node in nodes)


@pytest.mark.parametrize("backend", SECTIONS)
def test_no_file_outside_a_backend_and_its_section_names_its_options(backend: str) -> None:
    files = [path for path in PACKAGES.rglob("*.py") if not is_own(path, backend)]
    assert len(files) > 100
    public = PACKAGES / "llem-config/src/llem_config/__init__.py"  # lists the class as public
    problems = {
        str(path.relative_to(PACKAGES)): uses(path, backend)
        for path in files
        if path != public and (uses(path, backend) or reads_section(path, backend))
    }
    assert problems == {}


def test_the_check_finds_options_in_the_files_that_may_name_them() -> None:
    folder = PACKAGES / "llem-energy/src/llem_energy/_backends/pytorch"
    assert "load_in_4bit" in uses(folder / "facts.py", "pytorch")
    assert reads_section(folder / "section.py", "pytorch")
