"""An archive of a newer llem: the file that cannot be read is named as it is in the archive."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

import pytest
from cli.conftest import Run
from report.comparison.folders import make_folder

from llem_report import archive_study
from llem_runner.archives import MANIFEST, TAG_MANIFEST

NEWER = "found 99, of a newer llem; update llem"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    archive_study(make_folder(results, 1, ns=(1, 2), cycles=3), results / "study.zip")
    return results / "study.zip"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def newer(archive: Path, target: Path, ending: str) -> Path:
    """Write the archive that a newer llem would make: some files have a later format, all digests fit."""
    with zipfile.ZipFile(archive) as old:
        top = old.namelist()[0].partition("/")[0]
        files = {name.removeprefix(f"{top}/"): old.read(name) for name in old.namelist()}
    manifest = "data/study/manifest.json"
    for name in [
        name for name in files if name.startswith("data/study/") and name.endswith(ending)
    ]:
        later = re.sub(rb'("schema_version": )\d+', rb"\g<1>99", files[name], count=1)
        before, after = sha256(files[name]).encode(), sha256(later).encode()
        files[name] = later
        files[manifest] = files[manifest].replace(before, after)
    for listing in (MANIFEST, TAG_MANIFEST):
        names = [line.split("  ", 1)[1] for line in files[listing].decode().splitlines()]
        files[listing] = "".join(f"{sha256(files[name])}  {name}\n" for name in names).encode()
    with zipfile.ZipFile(target, "w") as packed:
        for name, content in files.items():
            packed.writestr(f"{top}/{name}", content)
    return target


def words(command: str, archive: Path, out: Path) -> list[str | Path]:
    more: dict[str, list[str | Path]] = {
        "report": ["--output", out],
        "export": [out],
        "verify": ["--files-only"],
    }
    return ["study", command, archive, *more.get(command, [])]


@pytest.mark.parametrize("command", ["show", "report", "export", "methods", "verify"])
def test_a_newer_manifest_is_named_with_its_archive_and_the_advice_to_update(
    llem: Run, archive: Path, tmp_path: Path, command: str
) -> None:
    bad, out = newer(archive, tmp_path / "newer.zip", "manifest.json"), tmp_path / "out.csv"
    done = llem(*words(command, bad, out))
    problem = f"{bad}: data/study/manifest.json: expected format 1 to 3, {NEWER}"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {problem}\n")
    assert not out.exists()


@pytest.mark.parametrize("command", ["show", "report", "export", "methods", "verify"])
def test_newer_results_are_named_with_their_archive(
    llem: Run, archive: Path, tmp_path: Path, command: str
) -> None:
    bad, out = newer(archive, tmp_path / "newer.zip", "/result.json"), tmp_path / "out.csv"
    done = llem(*words(command, bad, out))
    written = out.read_text("utf-8") if command == "report" else ""
    shown = " ".join(f"{done.stdout} {written}".replace("\N{NO-BREAK SPACE}", " ").split())
    assert re.search(rf"data/study/0001_\S+/result\.json\b.*?{NEWER}", shown)
    assert "llem-archive-" not in shown + done.stderr
    if command != "verify":  # which has one archive only
        assert f"{bad}: data/study/0001_" in shown
