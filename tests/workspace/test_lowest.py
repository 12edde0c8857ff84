"""The declared versions of dependencies can be tested: each has a lower bound that CI installs."""

from __future__ import annotations

import re
import tomllib
import warnings
from typing import Any

import pytest
from workspace.repository import PACKAGES, ROOT


def project(package: str) -> dict[str, Any]:
    text = (ROOT / "packages" / package / "pyproject.toml").read_text("utf-8")
    metadata: dict[str, Any] = tomllib.loads(text)["project"]
    return metadata


def test_every_dependency_has_a_lower_bound() -> None:
    for package in PACKAGES:
        metadata = project(package.replace("_", "-"))
        extras = metadata.get("optional-dependencies", {}).values()
        dependencies = [*metadata["dependencies"], *(name for extra in extras for name in extra)]
        assert [d for d in dependencies if not re.search(r">=\d", d)] == []


def test_the_lowest_versions_of_all_packages_and_extras_are_installed_in_ci() -> None:
    script = (ROOT / ".ci" / "lowest").read_text("utf-8")
    assert "bash .ci/lowest\n" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert "--resolution lowest-direct" in script
    installed = re.findall(r"^    -e '?packages/([\w-]+)(?:\[([\w,-]+)\])?", script, re.M)
    assert sorted(package for package, _ in installed) == sorted(
        package.replace("_", "-") for package in PACKAGES
    )
    extras = dict(installed)["llem-energy"]
    assert set(extras.split(",")) == set(project("llem-energy")["optional-dependencies"])
    tests = re.findall(r"tests/[\w/.]+(?= |$)", script.split("set --")[1].split("\nfi\n")[0], re.M)
    assert {path.split("/")[1] for path in tests} == {"config", "energy", "runner", "report"}
    assert [path for path in tests if not (ROOT / path).exists()] == []


def test_warnings_in_our_code_are_errors_and_those_in_other_libraries_are_not() -> None:
    def warn(module: str, category: type[Warning] = FutureWarning) -> None:
        warnings.warn_explicit("a warning of this test", category, "file.py", 1, module)

    with pytest.raises(FutureWarning):
        warn("llem_energy._backends.pytorch.loading")
    with pytest.raises(ResourceWarning):
        warn("subprocess", ResourceWarning)
    with pytest.raises(pytest.PytestUnraisableExceptionWarning):
        warn("_pytest.unraisableexception", pytest.PytestUnraisableExceptionWarning)
    with warnings.catch_warnings(record=True) as shown:
        warn("torch.fx")
    assert len(shown) == 1
