"""What a start of a study records: commit, changed files, packages, command line (RES-14)."""

from __future__ import annotations

import hashlib
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from fakes import measures
from fakes.studies import only_folder, study

from llem_runner import read_manifest, resume_study, run_study
from llem_runner._provenance.code_version import code_version
from llem_runner._provenance.start import command_line, installed_packages
from llem_runner.executors import InlineExecutor
from llem_runner.records import packages_at


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout with one package."""
    package = tmp_path / "project" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git(package.parent, "init", "-q")
    git(package.parent, "add", ".")
    git(package.parent, "commit", "-q", "-m", "first")
    return package


def test_the_commit_of_a_clean_checkout_is_recorded(checkout: Path) -> None:
    found = code_version([checkout])
    assert found.commit == git(checkout, "rev-parse", "HEAD")
    assert (found.is_changed, found.reason) == (False, None)


@pytest.mark.parametrize("name", ["__init__.py", "new.py"])
def test_a_changed_or_new_file_is_recorded(checkout: Path, name: str) -> None:
    (checkout / name).write_text("x = 1\n")
    assert code_version([checkout]).is_changed is True


def test_a_file_outside_of_the_package_changes_nothing(checkout: Path) -> None:
    (checkout.parent / "notes.txt").write_text("notes")
    assert code_version([checkout]).is_changed is False


def test_a_package_installed_below_another_project_has_no_commit_of_it(checkout: Path) -> None:
    installed = checkout.parent / ".venv" / "llem_runner"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    found = code_version([installed])
    assert (found.commit, found.is_changed) == (None, None)
    assert found.reason == "llem does not run from a git checkout"


def test_packages_of_two_checkouts_have_no_common_commit(checkout: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(checkout.parent), str(other))
    (other / "package" / "__init__.py").write_text("y = 2\n")
    git(other, "commit", "-q", "-a", "-m", "second")
    found = code_version([checkout, other / "package"])
    assert found.commit is None
    assert "several commits" in (found.reason or "")


def test_a_command_line_has_no_passwords_and_no_folder_of_the_program() -> None:
    token = "hf_" + "a" * 30
    found = command_line(
        [
            "/home/me/bin/llem-cli",
            "study",
            "run",
            "s.yaml",
            "--set",
            f"x={token}",
            "--hf-token",
            "q",
        ]
    )
    assert found == ("llem-cli", "study", "run", "s.yaml", "--set", "x=***", "--hf-token", "***")


def test_every_installed_package_is_listed_once_by_its_normalised_name() -> None:
    packages = installed_packages()
    assert packages["msgspec"] == version("msgspec")
    assert packages["llem-runner"] == version("llem-runner")
    assert list(packages) == sorted(packages)


def test_each_start_is_recorded_and_packages_once(tmp_path: Path) -> None:
    run_study(
        study((1, measures.BAD_N)),
        output=tmp_path / "results",
        measure=measures.fails_at_bad_n,
        executor=InlineExecutor(),
    )
    folder = only_folder(tmp_path / "results")
    resume_study(folder, measure=measures.quick, executor=InlineExecutor())
    manifest = read_manifest(folder)
    first, second = manifest.starts
    assert (first.session, second.session) == (1, 2)
    assert {entry.session for entry in manifest.entries} == {1, 2}
    assert first.packages == installed_packages()
    assert (second.packages_of, second.packages) == (1, {})
    assert packages_at(manifest.starts, second) == first.packages


def test_a_start_that_ran_nothing_is_replaced_by_the_next(tmp_path: Path) -> None:
    run_study(
        study((1,)), output=tmp_path / "results", measure=measures.quick, executor=InlineExecutor()
    )
    folder = only_folder(tmp_path / "results")
    for _ in range(2):
        resume_study(folder, measure=measures.quick, executor=InlineExecutor())
    assert [start.session for start in read_manifest(folder).starts] == [1, 2]


def test_the_files_beside_a_result_have_digests(tmp_path: Path) -> None:
    run_study(study((1,)), output=tmp_path / "results", executor=InlineExecutor())
    folder = only_folder(tmp_path / "results")
    (entry,) = read_manifest(folder).entries
    run_folder = (folder / str(entry.result_file)).parent
    files = {path.name: path for path in run_folder.glob("*.parquet")}
    assert "requests.parquet" in files
    assert entry.files_sha256 == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
    }
