"""The rooms of the house: front doors, what an import costs, names of files.

The walls themselves are import-linter contracts, run by `lint-imports`.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("llem_config", "llem_energy", "llem_runner", "llem_cli")
HEAVY = ("torch", "transformers", "pyarrow", "cyclopts", "rich")


def sources(room: str) -> list[Path]:
    return sorted((ROOT / "packages" / room.replace("_", "-") / "src" / room).glob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_front_door_names_exactly_what_it_offers(room: str) -> None:
    door = importlib.import_module(room)
    public = {
        name
        for name, value in vars(door).items()
        if not name.startswith("_") and type(value).__name__ != "module"
    }
    assert public == set(door.__all__)


@pytest.mark.parametrize("room", ["llem_config", "llem_energy", "llem_runner"])
def test_entering_a_room_loads_nothing_heavy_and_no_driver(room: str) -> None:
    code = (
        f"import sys, {room}\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "pynvml = sys.modules.get('pynvml')\n"
        "sys.exit(repr(loaded) if loaded or (pynvml and pynvml.nvmlLib) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_llem_config_costs_pydantic_and_yaml_and_nothing_else() -> None:
    code = (
        "import sys, llem_config\n"
        "extra = {'msgspec', 'pydantic_settings', 'platformdirs', 'llem_energy', 'numpy'}\n"
        "sys.exit(repr(sorted(extra & set(sys.modules))) if extra & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_modules_are_private_well_named_and_say_what_they_are_for(room: str) -> None:
    forbidden = {"utils", "helpers", "common", "base", "core", "manager", "ssot"}
    for path in sources(room):
        assert path.stem.startswith("_"), path
        assert path.stem.strip("_") not in forbidden, path
        text = path.read_text("utf-8")
        assert text.startswith('"""'), f"{path} has no docstring"
        assert len(text.splitlines()) <= 320, f"{path} is too long"


def test_only_the_nvml_files_know_the_binding_and_only_the_backend_knows_torch() -> None:
    for room in ROOMS:
        for path in sources(room):
            text = path.read_text("utf-8")
            if re.search(r"^\s*import pynvml", text, re.MULTILINE):
                assert path.name in ("_nvml.py", "_nvml_fields.py"), path
            if re.search(r"^\s*(import|from) (torch|transformers)", text, re.MULTILINE):
                assert path.name.startswith("_pytorch"), path


@pytest.mark.parametrize("room", ROOMS)
def test_each_package_is_complete(room: str) -> None:
    package = ROOT / "packages" / room.replace("_", "-")
    for name in ("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", f"src/{room}/py.typed"):
        assert (package / name).is_file(), name
