"""`study archive`, and the commands that take an archive in place of a folder."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from cli.conftest import Run
from report.comparison.folders import make_folder

from llem_report import archive_study


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    folder = make_folder(results, 1, ns=(1, 2), cycles=3)
    archive_study(folder, results / "study.zip")
    return results / "study.zip"


def test_archive_prints_its_digest_and_what_to_look_at(llem: Run, tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 1, ns=(1, 2), cycles=3)
    done = llem("study", "archive", folder, "--licence", "CC0-1.0")
    assert done.returncode == 0
    path = folder.parent / f"{folder.name}.zip"
    assert done.stdout.startswith(f"{path}: ")
    assert "SHA-256: " in done.stdout
    assert "note: the archive names the machine" in done.stderr
    assert "note: no author is named" in done.stderr
    again = llem("study", "archive", folder)
    assert again.returncode == 1
    assert "exists" in again.stderr


def test_every_command_takes_the_archive(llem: Run, archive: Path, tmp_path: Path) -> None:
    before = archive.read_bytes()
    shown = llem("study", "show", archive)
    assert shown.returncode == 0
    assert f"results: {archive}" in shown.stdout
    assert llem("study", "verify", archive, "--files-only").returncode == 0
    assert llem("study", "export", archive, tmp_path / "runs.csv").returncode == 0
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 7
    done = llem("study", "report", archive, "--output", tmp_path / "report.html")
    assert done.returncode == 0
    methods = json.loads(llem("study", "methods", archive, "--json").stdout)
    assert "2 configurations" in methods["what"][0]
    latex = llem("study", "methods", archive, "--latex")
    assert "\\begin{tabular}" in latex.stdout
    assert archive.read_bytes() == before


def test_a_report_of_an_archive_needs_a_place(llem: Run, archive: Path) -> None:
    done = llem("study", "report", archive)
    assert done.returncode == 2
    assert "is an archive, which is not changed" in done.stderr.replace("\n", " ")
    assert "`--output report.html`" in done.stderr.replace("\n", " ")


@pytest.mark.parametrize("command", ["show", "report", "export", "methods"])
def test_a_changed_archive_is_refused_in_one_sentence(
    llem: Run, archive: Path, tmp_path: Path, command: str
) -> None:
    bad, out = tmp_path / "bad.zip", tmp_path / "out.csv"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(bad, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if "0003_" in info.filename and info.filename.endswith("result.json"):
                content = content.replace(b'"tokens_per_second": ', b'"tokens_per_second": 9')
            new.writestr(info, content)
    more = {"report": ("--output", out), "export": (out,)}.get(command, ())
    done = llem("study", command, bad, *more)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "was changed after it was made" in done.stderr
    assert not out.exists()
    verified = llem("study", "verify", bad, "--files-only")
    assert verified.returncode == 1
    assert "changed" in verified.stdout


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--licence", "CC-BY-9"), "--licence: expected CC-BY-4.0, "),
        (("--author", "Doe, Jane <1>"), "--author: expected an ORCID"),
        (("--output", "a.tar"), "a.tar: expected the name of a file that ends with .zip"),
        (("--output", ""), ".: expected the name of a file that ends with .zip"),
        (("--output", "folder.zip"), "folder.zip: expected the name of a file, found a folder"),
        (
            ("--output", "a" * 300 + ".zip"),
            "aaa.zip' cannot be the name of a file: File name too long",
        ),
    ],
    ids=["licence", "author", "ending", "empty", "folder", "long"],
)
def test_a_wrong_argument_of_archive_is_wrong_usage(
    llem: Run, tmp_path: Path, flags: tuple[str, str], problem: str
) -> None:
    (tmp_path / "folder.zip").mkdir()
    make_folder(tmp_path / "made", 1, ns=(1,), cycles=1).rename(tmp_path / "study")
    done = llem("study", "archive", "study", *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) == 1
