"""The commands, files and snippets in the documents are correct: each is run or read here."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from workspace.repository import CHECK, ROOT

from llem_config import load_study
from llem_energy import ExperimentResult
from llem_energy.gain import GainCalibration
from llem_energy.models import FileDigest, InputDigest
from llem_energy.records import (
    Baseline,
    ContextIdle,
    DataRealism,
    DeviceWindow,
    EnvironmentSnapshot,
    ErrorBudget,
    EstimateFigure,
    GpuSnapshot,
    LiveDevice,
    LiveReading,
    NeighbourGpu,
    PhaseResult,
    Quality,
    Sampling,
    WarmUpReport,
)
from llem_energy.sources import Calibration
from llem_runner import StudyResult
from llem_runner.records import (
    AttemptProcess,
    AttemptRecord,
    CodeVersion,
    Comparison,
    Comparisons,
    Extension,
    FailedRun,
    ManifestEntry,
    MeasurementProtocol,
    Outlier,
    PlanFile,
    PointSummary,
    ShardFile,
    Start,
    Statistics,
    StudyManifest,
    StudyOrigin,
    StudySummary,
)

README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "packages").glob("*/*.md")]
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_readme_has_two_commands_and_ci_runs_the_second_unchanged() -> None:
    quickstart, tests, check = blocks("sh")
    assert quickstart.strip().endswith("llem-cli study run examples/quickstart.yaml")
    assert tests.strip().endswith("uv run pytest")
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert tests.strip() in script.splitlines()
    assert [line.removeprefix("uv run ") for line in check.split("\n") if line] == CHECK
    for command in CHECK:
        assert f"uv run {command}" in script


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_repository_exist(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", document.read_text("utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_headings_exist(document: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^):]*)#([^)]+)", document.read_text("utf-8")):
        page = document.parent / target if target else document
        headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
        anchors = [re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings]
        assert anchor in anchors, target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_named_in_the_documents_exist(document: Path) -> None:
    for path in re.findall(
        r"(?:benchmarks|tests|docs|scripts)/[\w./-]+\w", document.read_text("utf-8")
    ):
        assert (ROOT / path).exists(), path


def test_the_study_file_of_the_readme_is_valid(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    (tmp_path / "study.yaml").write_text(text)
    study = load_study(tmp_path / "study.yaml")
    assert len(study.experiments) == 7
    assert study.n_excluded == 2


@pytest.mark.parametrize("snippet", blocks("python"), ids=["llem-config", "llem-runner"])
def test_the_snippets_of_the_readme_run(tmp_path: Path, snippet: str) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "snippet.py").write_text(snippet)
    done = subprocess.run(
        [sys.executable, "snippet.py"],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda p: p.name)
def test_each_example_is_valid_and_linked_from_the_readme(file: Path) -> None:
    assert load_study(file).experiments
    assert f"examples/{file.name}" in README


@pytest.mark.parametrize(
    "struct",
    [
        *(
            ExperimentResult,
            DeviceWindow,
            EnvironmentSnapshot,
            GpuSnapshot,
            NeighbourGpu,
            EstimateFigure,
        ),
        *(
            DataRealism,
            Quality,
            ErrorBudget,
            Baseline,
            ContextIdle,
            WarmUpReport,
            PhaseResult,
            Sampling,
        ),
        *(Calibration, GainCalibration, InputDigest, FileDigest, LiveReading, LiveDevice),
        *(
            Start,
            CodeVersion,
            Extension,
            PlanFile,
            ShardFile,
            StudyOrigin,
            AttemptProcess,
            AttemptRecord,
        ),
        *(StudyManifest, ManifestEntry, StudyResult, StudySummary, PointSummary),
        *(MeasurementProtocol, FailedRun, Statistics, Comparisons, Comparison, Outlier),
    ],
    ids=lambda struct: struct.__name__,
)
def test_every_field_of_every_file_is_documented(struct: type) -> None:
    text = (ROOT / "docs" / "files.md").read_text("utf-8")
    fields: tuple[str, ...] = struct.__struct_fields__  # type: ignore[attr-defined]  # a msgspec struct
    assert [name for name in fields if f"`{name}`" not in text] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_that_snippets_import_from_llem_exist(document: Path) -> None:
    for snippet in re.findall(r"```python\n(.*?)```", document.read_text("utf-8"), re.DOTALL):
        assert missing_names(snippet) == []


def test_names_that_ci_imports_from_llem_exist() -> None:
    script = (ROOT / ".ci" / "wheels").read_text("utf-8")
    programs = re.findall(r"<<'PYTHON'\n(.*?)\nPYTHON", script, re.DOTALL)
    programs += re.findall(r"python -I -c '(.*?)'", script)
    assert len(programs) == script.count("bin/python -I")
    assert [missing_names(program) for program in programs] == [[]] * len(programs)


def missing_names(program: str) -> list[str]:
    """Return the names that a program uses of a package of llem and that do not exist."""
    missing = []
    for node in ast.walk(ast.parse(program)):
        names: list[str] = []
        module = ""
        if isinstance(node, ast.ImportFrom):
            module, names = node.module or "", [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module, names = node.value.id, [node.attr]
        if module.startswith("llem_"):
            imported = importlib.import_module(module)
            missing += [f"{module}.{name}" for name in names if not hasattr(imported, name)]
    return missing
