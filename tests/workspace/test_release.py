"""The release script: the releases it refuses, and a release of one package in a clone.

The clone is a separate repository, so that no commit and no tag reaches this one.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workspace.repository import ROOT, uv

COPIED = ("pyproject.toml", "uv.lock", "packages", "scripts", ".gitignore")


def git(clone: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a repository with the packages of this working tree, two of them ready to release."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, folder / name)
    for package in ("llem-config", "llem-report"):
        changelog = folder / "packages" / package / "CHANGELOG.md"
        text = re.sub(
            r"^## .*$", "## 0.1.0 (2026-01-31)", changelog.read_text(), flags=re.MULTILINE
        )
        changelog.write_text(text)
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def commit(clone: Path) -> None:
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", "A state to release")


def release(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The locked versions are in uv's cache since the workspace was installed; no network is used.
    env = {**os.environ, "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@localhost"}
    command = [sys.executable, "scripts/release.py", *arguments]
    return subprocess.run(
        command, cwd=clone, env=env, capture_output=True, text=True, check=False, timeout=280
    )


# The second one needs other packages of the workspace, which are not released yet.
@pytest.mark.parametrize("package", ["llem-config", "llem-report"])
def test_a_dry_run_builds_and_checks_the_package_and_makes_no_tag(
    clone: Path, package: str
) -> None:
    done = release(clone, package, "0.1.0", "--dry-run", "--out-dir", str(clone / "dist"))
    assert done.returncode == 0, done.stderr
    stem = package.replace("-", "_")
    built = [f"{stem}-0.1.0-py3-none-any.whl", f"{stem}-0.1.0.tar.gz"]
    assert sorted(path.name for path in (clone / "dist").glob("llem*")) == built
    assert f"dry run: the tag {package}-v0.1.0 was not made" in done.stdout
    assert git(clone, "tag") == ""


def test_a_release_tags_its_commit_once(clone: Path) -> None:
    done = release(clone, "llem-config", "0.1.0")
    assert done.returncode == 0, done.stderr
    assert "git push origin llem-config-v0.1.0" in done.stdout
    tagged = git(clone, "rev-parse", "llem-config-v0.1.0^{commit}")
    assert tagged == git(clone, "rev-parse", "HEAD")
    (clone / "later").touch()
    commit(clone)
    again = release(clone, "llem-config", "0.1.0")
    assert again.returncode == 1
    assert f"found it on commit {tagged[:12]}" in again.stderr


def test_the_workflow_builds_the_package_that_its_tag_names(clone: Path) -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    workflow = yaml.safe_load(text)
    (pattern,) = workflow[True]["push"]["tags"]  # YAML 1.1 reads the key `on` as true
    assert fnmatch.fnmatch("llem-config-v0.1.0", pattern)
    (step,) = [
        step["run"]
        for step in workflow["jobs"]["build"]["steps"]
        if "scripts/release.py" in step.get("run", "")
    ]
    git(clone, "tag", "llem-config-v0.1.0")
    env = {**os.environ, "GITHUB_REF_NAME": "llem-config-v0.1.0"}
    # As on the runner, where `.ci/run` has put uv on the path.
    env["PATH"] = os.pathsep.join([str(Path(uv()).parent), env["PATH"]])
    done = subprocess.run(
        ["bash", "-e", "-c", step], cwd=clone, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    built = sorted(path.name for path in (clone / "dist").glob("llem*"))
    assert built == ["llem_config-0.1.0-py3-none-any.whl", "llem_config-0.1.0.tar.gz"]


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "problem"),
    [
        ("llem_config.py", None, "", "expected a clean working tree, found 1 changed"),
        ("pyproject.toml", '"0.1.0"', '"0.2.0"', "expected version 0.1.0, found 0.2.0"),
        ("CHANGELOG.md", "0.1.0", "0.0.9", "expected a section `## 0.1.0 (YYYY-MM-DD)`"),
        ("CHANGELOG.md", "2026-01-31", "unreleased", "found `## 0.1.0 (unreleased)`"),
        ("CHANGELOG.md", r"\n- [\s\S]*", "\n", "expected an entry below `## 0.1.0"),
        ("src/llem_config/__init__.py", r"\Z", "\nimport absent_module\n", "absent_module"),
    ],
    ids=["untracked file", "version", "no section", "no date", "no entry", "broken import"],
)
def test_a_package_that_is_not_ready_is_refused_with_the_reason(
    clone: Path, file: str, pattern: str | None, replacement: str, problem: str
) -> None:
    path = clone / "packages" / "llem-config" / file
    if pattern is None:
        path.touch()
    else:
        path.write_text(re.sub(pattern, replacement, path.read_text(), count=1))
        commit(clone)
    done = release(clone, "llem-config", "0.1.0")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert problem in done.stderr
    assert git(clone, "tag") == ""


def test_only_packages_of_the_workspace_can_be_released(clone: Path) -> None:
    done = release(clone, "llem", "0.1.0")
    assert done.returncode == 2
    assert "llem-config" in done.stderr
