"""The archive of a study: the same folder gives the same file, and a stranger can check and read it."""

from __future__ import annotations

import csv
import gc
import hashlib
import json
import random
import resource
import shutil
import signal
import subprocess
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from report.comparison.folders import make_folder

from llem_report import ReportError, analyse, archive_study
from llem_report._archive.authors import parse_authors
from llem_runner import read_manifest, verify_study
from llem_runner._storage.lock import hold
from llem_runner.archives import open_study


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("results"), 1, ns=(1, 2), cycles=3)


@pytest.fixture(scope="module")
def unpacked(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an archive with everything, as `unzip` makes it."""
    folder = tmp_path_factory.mktemp("archive")
    archive_study(
        original,
        folder / "a.zip",
        licence="cc-by-4.0",
        authors=["Doe, Jane <0000-0002-1825-0097>", "Institute of Measurement"],
    )
    with zipfile.ZipFile(folder / "a.zip") as packed:
        packed.extractall(folder)
    return folder / original.name


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "study"))


def test_the_same_folder_gives_the_same_file(folder: Path, tmp_path: Path) -> None:
    first = archive_study(folder, tmp_path / "a.zip")
    second = archive_study(folder, tmp_path / "b.zip")
    assert first.sha256 == second.sha256
    assert hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest() == first.sha256


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_sha256sum_checks_every_file_without_llem(unpacked: Path) -> None:
    command = ["sha256sum", "--check", "manifest-sha256.txt", "tagmanifest-sha256.txt"]
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = {
        path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()
    }
    checked = {line.removesuffix(": OK") for line in done.stdout.splitlines()}
    assert checked == files - {"tagmanifest-sha256.txt"}


def test_the_archive_has_the_files_of_the_study_byte_for_byte(
    unpacked: Path, original: Path
) -> None:
    for path in (unpacked / "data" / "study").rglob("*"):
        if path.is_file():
            same = original / path.relative_to(unpacked / "data" / "study")
            assert path.read_bytes() == same.read_bytes()
    assert verify_study(unpacked / "data" / "study", files_only=True).verdict == "intact"


def test_the_archive_opens_like_the_folder(folder: Path, tmp_path: Path) -> None:
    archive_study(folder, tmp_path / "a.zip")
    with open_study(tmp_path / "a.zip") as opened:
        assert analyse(opened.folder) == analyse(folder)
    found = verify_study(tmp_path / "a.zip", files_only=True)
    assert found.verdict == "intact"
    assert {file.state for file in found.files} == {"intact"}


def test_the_readme_answers_what_on_what_how_and_how_sure(unpacked: Path) -> None:
    page = (unpacked / "README.md").read_text()
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert headings[:5] == [
        "## What was measured?", "## On what?", "## How?", "## How sure is it?",
        "## What should you know before you use the figures?",
    ]  # fmt: skip
    assert "energy per output token (J/token) of 2 configurations" in page
    assert "builtin:tiny-llama" in page
    assert "in each of 3 cycles" in page
    assert "| n=1 | 3 of 3 | " in page
    assert "sha256sum --check" in page
    digest = hashlib.sha256((unpacked / "data/study/manifest.json").read_bytes()).hexdigest()
    assert digest in page


def test_the_codebook_has_every_column_of_every_table(unpacked: Path) -> None:
    with (unpacked / "codebook.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["meaning"] for row in rows)
    for table in (unpacked / "data" / "tables").glob("*.csv"):
        with table.open(newline="") as file:
            columns = next(csv.reader(file))
        assert [row["column"] for row in rows if row["table"] == table.name] == columns
    page = (unpacked / "codebook.md").read_text()
    assert page.count("\n| ") >= len(rows)


def test_the_citation_has_the_required_fields_of_the_format(unpacked: Path) -> None:
    citation = yaml.safe_load((unpacked / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert (citation["cff-version"], citation["type"]) == ("1.2.0", "dataset")
    assert citation["license"] == "CC-BY-4.0"
    assert citation["authors"] == [
        {
            "family-names": "Doe",
            "given-names": "Jane",
            "orcid": "https://orcid.org/0000-0002-1825-0097",
        },
        {"name": "Institute of Measurement"},
    ]
    assert "creativecommons.org/licenses/by/4.0" in (unpacked / "LICENCE.txt").read_text()


@pytest.mark.parametrize(
    ("measured", "subject"),
    [({}, "energy"), ({"energy_per_output_token_j": None, "energy_total_j": None}, "speed")],
    ids=["energy", "speed only"],
)
def test_the_archive_is_named_by_what_was_measured(
    tmp_path: Path, measured: dict[str, None], subject: str
) -> None:
    folder = make_folder(tmp_path, 1, ns=(1, 2), cycles=3, **measured)
    archive_study(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        files = {name.partition("/")[2]: packed.read(name).decode() for name in packed.namelist()
                 if name.endswith(("README.md", ".cff", "croissant.json", "report.html"))}  # fmt: skip
    citation = yaml.safe_load(files["CITATION.cff"])
    assert citation["title"] == f"test: {subject} of LLM inference"
    assert citation["keywords"] == [subject, "inference", "large language models"]
    assert files["README.md"].startswith(f"# test: {subject} of LLM inference\n")
    described = json.loads(files["data/tables/croissant.json"])["description"]
    assert described.startswith(f"{subject.capitalize()} of LLM inference: the llem study test ")
    header = files["report.html"].partition("</header>")[0].replace("\N{NO-BREAK SPACE}", " ")
    assert f"Report of a study of the {subject} of LLM inference" in header


def test_files_of_people_and_of_earlier_attempts_stay_out(folder: Path, tmp_path: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    next(folder.glob("0001*")).joinpath("result.json.old").write_text("{}")
    made = archive_study(folder, tmp_path / "a.zip")
    old, notes = made.left_out
    assert old.startswith("0001_c1_") and old.endswith("/result.json.old")
    assert notes == "notes.txt"
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        names = packed.namelist()
    assert not [name for name in names if name.endswith((".old", "notes.txt", ".lock"))]


def test_a_running_study_is_not_archived(folder: Path, tmp_path: Path) -> None:
    running = "is running, so its files are still changing"
    with hold(folder / ".lock", str(folder)), pytest.raises(ReportError, match=running):
        archive_study(folder, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_a_folder_with_a_changed_result_is_not_archived(folder: Path, tmp_path: Path) -> None:
    path = next(folder.glob("0002*/result.json"))
    path.write_text(path.read_text() + " ")
    with pytest.raises(ReportError, match=r"cannot be archived: .*0002.*result\.json \(changed\)"):
        archive_study(folder, tmp_path / "a.zip")
    assert list(tmp_path.glob("*.zip")) == []


def test_a_token_in_a_log_is_not_published(folder: Path, tmp_path: Path) -> None:
    log = next(folder.glob("0002*")) / "log.txt"
    log.write_text(f"first\nhf_{'a' * 30}\n")
    with pytest.raises(ReportError, match=r"log\.txt, line 2: expected no password"):
        archive_study(folder, tmp_path / "a.zip")


def test_wrong_names_are_refused_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"ends with \.zip"):
        archive_study(folder, tmp_path / "a.tar")
    with pytest.raises(ReportError, match=r"cannot be the name of a file: .*null"):
        archive_study(folder, "a\0.zip")
    with pytest.raises(ReportError, match=r"expected CC-BY-4\.0"):
        archive_study(folder, tmp_path / "a.zip", licence="mine")
    (tmp_path / "a.zip").write_text("exists")
    with pytest.raises(ReportError, match="exists"):
        archive_study(folder, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_text() == "exists"


@pytest.mark.parametrize("orcid", ["0000-0002-1825-0098", "1234", ""])
def test_an_orcid_with_a_wrong_check_digit_is_refused(orcid: str) -> None:
    with pytest.raises(ReportError, match="ORCID"):
        parse_authors([f"Doe, Jane <{orcid}>"])


def test_an_older_folder_without_starts_can_be_archived(folder: Path, tmp_path: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["entries"]:
        del entry["result_sha256"], entry["files_sha256"]
    for key in ("starts", "study_result_sha256", "resolved_sha256"):
        del manifest[key]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    archive_study(folder, tmp_path / "a.zip")
    assert verify_study(tmp_path / "a.zip", files_only=True).verdict == "unverifiable"
    assert read_manifest(folder).starts == ()


@pytest.fixture
def limited() -> Iterator[Callable[[int], None]]:
    """Return a function that limits the size of files, so that a write fails as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda n_bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


def test_a_disk_that_is_full_before_the_end_leaves_no_file_and_no_traceback(
    folder: Path, tmp_path: Path, limited: Callable[[int], None]
) -> None:
    log = next(folder.glob("0001_*")) / "log.txt"
    log.write_bytes(random.Random(1).randbytes(4_000_000))
    out = tmp_path / "out"
    out.mkdir()
    limited(3_000_000)  # more than the report has
    with warnings.catch_warnings(), pytest.raises(ReportError, match="File too large; nothing was"):
        warnings.simplefilter("error", pytest.PytestUnraisableExceptionWarning)
        archive_study(folder, out / "a.zip")
    gc.collect()  # the zip file would say that its file is closed
    assert list(out.iterdir()) == []


def test_a_full_folder_for_temporary_files_is_named_with_its_variable(
    folder: Path, tmp_path: Path, limited: Callable[[int], None]
) -> None:
    limited(3_000)
    with pytest.raises(ReportError, match=r"File too large; nothing .* set TMPDIR to one with"):
        archive_study(folder, tmp_path / "a.zip")
