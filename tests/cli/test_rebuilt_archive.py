"""An archive that was changed although its list of checksums fits: the digests of the study tell."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from cli.conftest import Run
from cli.rebuilt_archives import Files, rebuilt, words, write_zip
from report.comparison.folders import make_folder

from llem_report import archive_study

DIGEST = r"its SHA-256 is not the one in manifest\.json"
COMMANDS = ["show", "report", "export", "methods"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a study, `study`, and its archive, `study.zip`."""
    results = tmp_path_factory.mktemp("results")
    make_folder(results / "made", 1, ns=(1, 2), cycles=3).rename(results / "study")
    archive_study(results / "study", results / "study.zip")
    return results


def other_result(files: Files) -> Files:
    """Return the result of run 3 with another energy."""
    (name,) = [name for name in files if re.search(r"/0003_[^/]+/result\.json$", name)]
    return {name: files[name].replace(b'"energy_per_output_token_j": ', b'"energy_per_output_token_j": 9')}  # fmt: skip


def other_points(files: Files) -> Files:
    name = "data/study/study_resolved.json"
    return {name: files[name].replace(b'"n": 2', b'"n": 3')}


def other_statistics(files: Files) -> Files:
    name = "data/study/study_result.json"
    return {name: files[name] + b" "}


@pytest.mark.parametrize(
    ("change", "file", "reason"),
    [
        (other_result, r"data/study/0003_c2_\S+/result\.json", DIGEST),
        (other_points, r"data/study/study_resolved\.json", "its points have another hash than .*"),
        (other_statistics, r"data/study/study_result\.json", DIGEST),
    ],
    ids=["result", "points", "statistics"],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_shows_figures_of_a_file_with_another_digest(
    llem: Run, results: Path, tmp_path: Path, command: str, change: object, file: str, reason: str
) -> None:
    assert callable(change)
    bad, out = tmp_path / "bad.zip", tmp_path / "out.csv"
    rebuilt(results / "study.zip", bad, change, inner=False)
    done = llem(*words(command, bad, out))
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"error: {re.escape(str(bad))} was changed after it was made: {file} is changed, because "
        rf"{reason}; get the archive again, or list all changes with `llem-cli study "
        rf"verify {re.escape(str(bad))}`\n",
        done.stderr,
    )
    assert not out.exists()


def test_an_archive_with_its_digests_made_again_by_its_author_is_read(
    llem: Run, results: Path, tmp_path: Path
) -> None:
    """The same change with digests that fit: it is the changed digest that the commands refuse."""
    whole = rebuilt(results / "study.zip", tmp_path / "a.zip", other_result, inner=True)
    assert llem("study", "export", whole, tmp_path / "out.csv").returncode == 0


def without(archive: Path, target: Path, name: str) -> Path:
    with zipfile.ZipFile(archive) as old:
        top = old.namelist()[0].partition("/")[0]
        files = {each.removeprefix(f"{top}/"): old.read(each) for each in old.namelist()}
    del files[name]
    write_zip(target, top, files)
    return target


@pytest.mark.parametrize("command", [*COMMANDS, "verify"])
def test_a_missing_list_of_checksums_is_one_sentence(
    llem: Run, results: Path, tmp_path: Path, command: str
) -> None:
    bad = without(results / "study.zip", tmp_path / "bad.zip", "manifest-sha256.txt")
    done = llem(*words(command, bad, tmp_path / "out.csv"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {bad}: expected manifest-sha256.txt, the list of checksums, found none, so llem "
        "cannot check whether the files were changed; get the archive again\n"
    )


def test_the_listed_file_that_is_missing_is_named(llem: Run, results: Path, tmp_path: Path) -> None:
    bad = without(results / "study.zip", tmp_path / "bad.zip", "bagit.txt")
    done = llem("study", "show", bad)
    assert done.returncode == 1
    assert "bagit.txt is missing, because the archive lists it but lacks it; get" in done.stderr
    found = json.loads(llem("study", "verify", bad, "--files-only", "--json").stdout)
    assert found["reason"] == "not as the study wrote it: bagit.txt (missing)"


def test_archive_and_verify_count_the_same_files(llem: Run, results: Path, tmp_path: Path) -> None:
    made = llem("study", "archive", results / "study", "--output", tmp_path / "a.zip").stdout
    verified = llem("study", "verify", tmp_path / "a.zip", "--files-only").stdout
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        n_files = len(packed.namelist())
    assert f", {n_files} files\n" in made
    assert f"test: intact; {n_files} files are as they were written" in verified


@pytest.mark.parametrize("command", [*COMMANDS, "verify"])
def test_for_an_unpacked_archive_the_folder_of_the_study_in_it_is_named(
    llem: Run, results: Path, tmp_path: Path, command: str
) -> None:
    with zipfile.ZipFile(results / "study.zip") as packed:
        packed.extractall(tmp_path)
    done = llem(*words(command, tmp_path / "study", tmp_path / "out.csv"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {tmp_path}/study: expected the folder of a study, found an unpacked archive; use the "
        f"folder of the study in it, {tmp_path}/study/data/study\n"
    )
    shutil.rmtree(tmp_path / "study" / "data" / "tables")
    again = words(command, tmp_path / "study" / "data" / "study", tmp_path / "out.csv")
    assert llem(*again).returncode == 0
