"""CONTRIBUTING.md is correct: one package without torch, and the checks of a commit."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import Any

import pytest
import yaml
from workspace.repository import CHECK, ROOT, uv


@pytest.mark.parametrize("group", ["config", "energy", "runner", "report"])
def test_the_group_of_a_package_installs_its_tests_without_torch(group: str) -> None:
    command = [uv(), "export", "--frozen", "--offline", "--no-hashes", "--only-group", group]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = {line.split("==")[0].strip() for line in lines.splitlines()}
    assert f"-e ./packages/llem-{group}" in names
    assert {"pytest", "mypy", "ruff"} <= names
    assert not names & {"torch", "transformers", "datasets"}


def workflow(name: str) -> dict[Any, Any]:
    text = (ROOT / ".github" / "workflows" / name).read_text("utf-8")
    loaded: dict[Any, Any] = yaml.safe_load(text)
    return loaded


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"].strip() for step in job["steps"] if "run" in step]


def test_a_commit_runs_the_checks_of_the_readme_that_take_seconds() -> None:
    settings = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    (repository,) = settings["repos"]
    assert repository["repo"] == "local"
    entries = [hook["entry"] for hook in repository["hooks"]]
    assert [*entries, "uv run pytest"] == [f"uv run {command}" for command in CHECK]
    assert all(hook["language"] == "system" for hook in repository["hooks"])


def test_ci_runs_the_script_that_the_readme_names_and_nothing_else() -> None:
    (job,) = workflow("ci.yml")["jobs"].values()
    assert commands(job) == ["bash .ci/run"]
    assert job["timeout-minutes"] <= 30
    for document in ("README.md", "CONTRIBUTING.md"):
        assert "`bash .ci/run`" in (ROOT / document).read_text("utf-8")


def test_only_the_job_that_publishes_may_identify_itself_to_a_registry() -> None:
    release = workflow("release.yml")
    build, publish = release["jobs"]["build"], release["jobs"]["publish"]
    assert release["permissions"] == {"contents": "read"}
    assert "permissions" not in build
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "build"
    assert commands(build)[0] == "bash .ci/run"


def test_the_page_for_contributors_lists_the_checks_and_its_examples_select_tests() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    blocks = [block.strip() for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]
    assert "\n".join(f"uv run {command}" for command in CHECK) in blocks
    (example,) = [block for block in blocks if block.startswith("uv run pytest tests")]
    command = [sys.executable, "-m", *shlex.split(example)[2:], "--collect-only", "-qq"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    paths = re.findall(r"`(tests/[^`]+)`", text)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
