"""`study verify`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Run
from report.comparison.folders import make_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path, 1, ns=(1, 2), cycles=3)


def test_an_intact_study_exits_with_0_and_says_what_is_here(llem: Run, folder: Path) -> None:
    done = llem("study", "verify", folder)
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines = done.stdout.splitlines()
    assert first == "test: intact; 8 files are as they were written"
    assert "to measure it again here" in lines
    assert any(line.startswith("SHA-256 of manifest.json") for line in lines)


def test_a_changed_file_exits_with_1_and_is_in_the_table(llem: Run, folder: Path) -> None:
    path = next(folder.glob("0003*/result.json"))
    path.write_text(path.read_text().replace('"n_prompts"', ' "n_prompts"', 1))
    done = llem("study", "verify", folder, "--files-only")
    assert done.returncode == 1
    name = path.relative_to(folder).as_posix()
    assert done.stdout.startswith(f"test: not intact; not as the study wrote it: {name} (changed)")
    assert "its SHA-256 is not the one in manifest.json" in done.stdout
    data = json.loads(llem("study", "verify", folder, "--files-only", "--json").stdout)
    assert data["verdict"] == "not intact"
    assert [file["name"] for file in data["files"] if file["state"] != "intact"] == [name]


def test_other_paths_exit_with_2(llem: Run, folder: Path, tmp_path: Path) -> None:
    for path, problem in (
        (tmp_path / "absent", "no such folder"),
        (folder / "manifest.json", "a file"),
    ):
        done = llem("study", "verify", path)
        assert done.returncode == 2
        assert problem in done.stderr.replace("\n", " ")
