"""A package that declares a wrong section breaks only the studies that name its backend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llem_config import ExperimentConfig
from llem_config._loading.field_names import STUDY_KEYS
from llem_config._spec.plugins import OTHER_SECTIONS, OUR_KEYS

GOOD = """
from collections.abc import Callable
from typing import ClassVar
from pydantic import BaseModel, ConfigDict
class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
"""
# In another process, because entry points are read when llem_config is imported.
LOAD = """
import json, sys
from llem_config import ConfigError, load_study
try:
    print(json.dumps(len(load_study(sys.argv[1]).experiments)))
except ConfigError as error:
    print(json.dumps(error.faults[0].problem))
"""


@pytest.fixture
def load_with(tmp_path: Path) -> Callable[[str, str, str], Any]:
    """Return a function that installs a package, and loads a study of one backend beside it.

    It returns the number of points, or the first problem.
    """
    site = tmp_path / "site"
    metadata = site / "other-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")

    def load_with(module: str, points: str, backend: str) -> Any:
        (site / "other_one.py").write_text(module)
        (metadata / "entry_points.txt").write_text(f"[llem.sections]\n{points}\n")
        study = tmp_path / "study.yaml"
        study.write_text(f"model: builtin:tiny-llama\nbackend: {backend}\n")
        loaded = subprocess.run(
            [sys.executable, "-W", "error", "-c", LOAD, str(study)],
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert loaded.stderr == ""
        return json.loads(loaded.stdout)

    return load_with


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("x = (", "SyntaxError"),
        ("Section = dict", "expected a pydantic model"),
        ("from pydantic import BaseModel\nclass Section(BaseModel): pass", 'extra="forbid"'),
        (f"{GOOD}    PRECISIONS: ClassVar = None", "expected a tuple of names in PRECISIONS"),
        (f"{GOOD}    function: Callable[[], int] = int", "PydanticInvalidForJsonSchema"),
    ],
)
def test_a_broken_package_breaks_only_the_studies_that_name_it(
    load_with: Callable[[str, str, str], Any], module: str, reason: str
) -> None:
    point = "broken = other_one:Section"
    assert load_with(module, point, "pytorch") == 1
    problem = load_with(module, point, "broken")
    assert "; the section of its package cannot be used: " in problem
    assert reason in problem


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("decoder", "the name decoder is taken by llem"),
        ("n", "the name n is taken by llem"),
        ("sweep", "the name sweep is taken by llem"),
        ("decoding", "the name decoding is taken by llem"),
        ("copy", "the name copy is taken by llem"),
        ("model_x", "the name model_x is taken by llem"),
        ("_x", "expected a Python name for a backend, found '_x'"),
        ("a-b", "expected a Python name for a backend, found 'a-b'"),
    ],
)
def test_a_package_cannot_take_a_name_of_ours(
    load_with: Callable[[str, str, str], Any], name: str, reason: str
) -> None:
    points = f"{name} = other_one:Section\ngood = other_one:Section"
    assert load_with(GOOD, points, "pytorch") == 1
    assert load_with(GOOD, points, "good") == 1
    problem = load_with(GOOD, points, name)
    assert problem.startswith(f"expected one of pytorch, vllm, tensorrt, good, found {name!r}")
    assert reason in problem


def test_a_package_cannot_replace_a_backend_of_ours(
    load_with: Callable[[str, str, str], Any],
) -> None:
    assert load_with("raise RuntimeError", "pytorch = other_one:Section", "pytorch") == 1


def test_a_backend_that_two_packages_declare_is_ambiguous(
    load_with: Callable[[str, str, str], Any],
) -> None:
    points = "twice = other_one:Section\ntwice = other_one:Other"
    module = f"{GOOD}Other = Section\n"
    assert load_with(module, points, "pytorch") == 1
    problem = load_with(module, points, "twice")
    assert "other_one:Other and other_one:Section declare the same backend" in problem


def test_the_names_that_a_package_cannot_take_are_those_of_a_study() -> None:
    names = {*ExperimentConfig.model_fields, *STUDY_KEYS, "decoding", "phase_conflicts"}
    assert names - set(OTHER_SECTIONS) == OUR_KEYS
