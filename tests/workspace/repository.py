"""The repository: its folder, its packages, its checks, and the program that installs it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("llem_config", "llem_energy", "llem_runner", "llem_report", "llem_slurm", "llem_cli")
CHECK = ["ruff format --check", "ruff check", "mypy", "lint-imports", "pytest"]
"""The commands of the check, in their order, each after `uv run`."""


def source_folder(package: str) -> Path:
    """Return the folder of a package's modules."""
    return ROOT / "packages" / package.replace("_", "-") / "src" / package


def sources(package: str) -> list[Path]:
    """Return every module of a package, sorted by path."""
    return sorted(source_folder(package).rglob("*.py"))


def uv() -> str:
    """Return the path of uv; skip the test if there is none."""
    for path in (os.environ.get("UV"), shutil.which("uv"), ROOT / ".uv" / "bin" / "uv"):
        if path and Path(path).is_file():
            return str(path)
    pytest.skip("needs uv")
