"""The packages: public names, the cost of imports, names of files.

The layers between them are import-linter contracts, run by `lint-imports`.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from workspace.repository import PACKAGES, ROOT, source_folder, sources

PUBLIC_MODULES = {
    "llem_config": {
        "__init__.py",
        "carbon.py",
        "cluster_settings.py",
        "credentials.py",
        "extensions.py",
        "fields.py",
        "folders.py",
        "foreign_files.py",
        "overrides.py",
        "settings.py",
        "settings_file.py",
        "text.py",
    },
    "llem_energy": {
        "__init__.py",
        "backends.py",
        "doctor.py",
        "gain.py",
        *(
            f"integrations/{name}.py"
            for name in (
                "lightning",
                "opentelemetry",
                "prometheus",
                "pytest_plugin",
                "transformers",
            )
        ),
        "models.py",
        "preflight.py",
        "records.py",
        "sources.py",
        "tenants.py",
        "testing.py",
    },
    "llem_runner": {
        "__init__.py",
        "archives.py",
        "block_model.py",
        "clusters.py",
        "compared_values.py",
        "distributions.py",
        "events.py",
        "executors.py",
        "plan.py",
        "progress.py",
        "records.py",
        "repeats.py",
        "run_files.py",
        "shards.py",
        "parallel.py",
        "verification.py",
    },
    "llem_report": {"__init__.py", "comparison_records.py", "records.py", "watching.py"},
    "llem_slurm": {"__init__.py"},
    "llem_cli": {"__init__.py", "__main__.py"},
}
HEAVY = ("torch", "transformers", "pyarrow", "cyclopts", "rich")


def public_modules() -> list[str]:
    names = []
    for package, files in PUBLIC_MODULES.items():
        for file in sorted(files - {"__main__.py"}):
            module = f"{package}.{file[:-3]}".replace("/", ".")
            names.append(package if file == "__init__.py" else module)
    return names


@pytest.mark.parametrize("name", public_modules())
def test_a_public_module_lists_exactly_its_public_names(name: str) -> None:
    module = importlib.import_module(name)
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert all(hasattr(module, attribute) for attribute in module.__all__)
    # A module that only re-exports names re-exports all that it imports.
    if not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body):
        assert imported == set(module.__all__)


@pytest.mark.parametrize(
    "package", ["llem_config", "llem_energy", "llem_runner", "llem_report", "llem_slurm"]
)
def test_importing_a_package_loads_nothing_heavy_and_no_driver(package: str) -> None:
    code = (
        f"import sys, {package}\n"
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


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_are_private_well_named_and_documented(package: str) -> None:
    forbidden = {"utils", "helpers", "common", "base", "core", "manager", "ssot"}
    for path in sources(package):
        name = path.relative_to(source_folder(package)).as_posix()
        is_public = name in {*PUBLIC_MODULES[package], "integrations/__init__.py"}
        assert name.startswith("_") or is_public, path
        if path.parent != source_folder(package):
            # Modules in a private folder need no underscore.
            assert not path.stem.startswith("_") or path.stem == "__init__", path
        assert path.stem.strip("_") not in forbidden, path
        text = path.read_text("utf-8")
        assert text.startswith('"""'), f"{path} has no docstring"
        assert len(text.splitlines()) <= 320, f"{path} is too long"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_front_page_of_a_sub_package_is_a_docstring_and_no_code(package: str) -> None:
    for path in source_folder(package).rglob("__init__.py"):
        if path.parent != source_folder(package):
            (docstring,) = ast.parse(path.read_text("utf-8")).body
            assert isinstance(docstring, ast.Expr), path


def test_only_the_nvml_files_know_the_binding_and_only_the_backend_knows_torch() -> None:
    for package in PACKAGES:
        for path in sources(package):
            text = path.read_text("utf-8")
            if re.search(r"^\s*import pynvml", text, re.MULTILINE):
                assert path.parent.name == "_sources", path
                assert path.name.startswith("nvml_"), path
            if re.search(r"^\s*(import|from) (torch|transformers)", text, re.MULTILINE):
                is_integration = path.parts[-2:] == ("integrations", "transformers.py")
                assert path.parent.parts[-2:] == ("_backends", "pytorch") or is_integration, path


@pytest.mark.parametrize("own", ["llem_cli", "llem_slurm"])
def test_a_package_imports_only_public_modules_of_the_other_packages(own: str) -> None:
    for path in sources(own):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            for module in modules:
                package, *rest = module.split(".")
                if package in PACKAGES and package != own:
                    assert not any(part.startswith("_") for part in rest), f"{path}: {module}"


@pytest.mark.parametrize("package", ["llem_runner", "llem_report"])
def test_a_package_below_the_clusters_has_no_word_of_slurm(package: str) -> None:
    named = [path for path in sources(package) if "slurm" in path.read_text("utf-8").lower()]
    assert not named


def test_no_package_needs_llem_slurm() -> None:
    for package in PACKAGES:
        folder = ROOT / "packages" / package.replace("_", "-")
        project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
        extras = project.get("optional-dependencies", {}).values()
        needs = [*project["dependencies"], *(need for extra in extras for need in extra)]
        assert not any(need.startswith("llem-slurm") for need in needs), package


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_complete(package: str) -> None:
    folder = ROOT / "packages" / package.replace("_", "-")
    for name in (
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "pyproject.toml",
        f"src/{package}/py.typed",
    ):
        assert (folder / name).is_file(), name


@pytest.mark.parametrize("package", PACKAGES)
def test_the_layers_of_each_package_are_checked_and_name_all_its_modules(package: str) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = [contract for contract in contracts if contract.get("containers") == [package]]
    assert layers["type"] == "layers"
    # Every new sub-package must be in a layer, and no import may be ignored.
    assert layers["exhaustive"] is True
    assert "ignore_imports" not in layers
    assert "exhaustive_ignores" not in layers
