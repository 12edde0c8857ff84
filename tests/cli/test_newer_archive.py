"""An archive of a newer llem: the file that cannot be read is named as it is in the archive."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cli.conftest import Run
from cli.rebuilt_archives import STUDY_MANIFEST, Files, rebuilt, words
from report.comparison.folders import make_folder

from llem_report import archive_study

NEWER = "found 99, of a newer llem; update llem"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    archive_study(make_folder(results, 1, ns=(1, 2), cycles=3), results / "study.zip")
    return results / "study.zip"


def newer(archive: Path, target: Path, ending: str) -> Path:
    """Write the archive that a newer llem would make: some files have a later format, all digests fit."""

    def later(files: Files) -> Files:
        return {
            name: re.sub(rb'("schema_version": )\d+', rb"\g<1>99", content, count=1)
            for name, content in files.items()
            if name.startswith("data/study/") and name.endswith(ending)
        }

    return rebuilt(archive, target, later, inner=ending != "manifest.json")


@pytest.mark.parametrize("command", ["show", "report", "export", "methods", "verify"])
def test_a_newer_manifest_is_named_with_its_archive_and_the_advice_to_update(
    llem: Run, archive: Path, tmp_path: Path, command: str
) -> None:
    bad, out = newer(archive, tmp_path / "newer.zip", "manifest.json"), tmp_path / "out.csv"
    done = llem(*words(command, bad, out))
    problem = f"{bad}: {STUDY_MANIFEST}: expected format 1 to 3, {NEWER}"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {problem}\n")
    assert not out.exists()


@pytest.mark.parametrize("ending", ["/result.json", "/study_result.json"])
@pytest.mark.parametrize("command", ["show", "report", "export", "methods"])
def test_newer_results_are_refused_in_one_sentence_with_their_archive(
    llem: Run, archive: Path, tmp_path: Path, command: str, ending: str
) -> None:
    bad, out = newer(archive, tmp_path / "newer.zip", ending), tmp_path / "out.csv"
    done = llem(*words(command, bad, out))
    assert (done.returncode, done.stdout) == (1, "")
    file = "study_result.json" if "study" in ending else r"0001_c1_\S+/result\.json"
    sentence = rf"error: {re.escape(str(bad))}: data/study/{file}: expected [^:]+, {NEWER}\n"
    assert re.fullmatch(sentence, done.stderr)
    assert not out.exists()


@pytest.mark.parametrize("ending", ["/result.json", "/study_result.json"])
def test_newer_results_cannot_be_verified(
    llem: Run, archive: Path, tmp_path: Path, ending: str
) -> None:
    bad = newer(archive, tmp_path / "newer.zip", ending)
    done = llem("study", "verify", bad, "--files-only")
    assert done.returncode == 1
    shown = " ".join(done.stdout.split())
    assert re.match(rf"test: unverifiable; .* data/study/\S+ cannot be read: .*{NEWER}", shown)
    assert "llem-archive-" not in shown + done.stderr
    printed = json.loads(llem("study", "verify", bad, "--files-only", "--json").stdout)
    assert {file["cause"] for file in printed["files"]} == {None, "newer format"}
