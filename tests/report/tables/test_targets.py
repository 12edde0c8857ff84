"""Where an export may be written: complete or not at all, and never into a study that runs."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from llem_report import ReportError, export
from llem_runner import read_manifest
from llem_runner._storage.lock import hold


@pytest.fixture
def small_files() -> Iterator[None]:
    """Fail each write in its middle, as a full disk does, by a limit on the size of files."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_existing_file_is_refused_without_force(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "runs.csv"
    target.write_text("mine")
    with pytest.raises(ReportError, match=r"runs\.csv exists; use another name, or --force"):
        export(folder, target)
    assert target.read_text() == "mine"
    export(folder, target, force=True)
    assert target.read_text().startswith('"study_name"')


def test_one_existing_file_in_a_folder_keeps_all_as_they_are(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "requests.parquet").write_text("mine")
    with pytest.raises(ReportError, match=r"requests\.parquet exists"):
        export(folder, tmp_path / "out")
    assert names_in(tmp_path / "out") == ["requests.parquet"]


def test_a_link_is_replaced_and_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine")
    (tmp_path / "runs.csv").symlink_to(tmp_path / "other")
    with pytest.raises(ReportError, match="exists"):
        export(folder, tmp_path / "runs.csv")
    export(folder, tmp_path / "runs.csv", force=True)
    assert (tmp_path / "other").read_text() == "mine"
    assert not (tmp_path / "runs.csv").is_symlink()


def test_a_pipe_is_refused_even_with_force(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "runs.csv")
    with pytest.raises(ReportError, match="found a pipe or a device"):
        export(folder, tmp_path / "runs.csv", force=True)


@pytest.mark.parametrize("name", ["runs.xlsx", "runs.csv.gz", "runs.parquet2"])
def test_an_unknown_ending_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ReportError, match=r"ends with \.parquet, \.csv, \.jsonl, or a folder"):
        export(folder, tmp_path / name)
    assert names_in(tmp_path) == ["grid"]


def test_the_case_of_an_ending_does_not_matter(folder: Path, tmp_path: Path) -> None:
    export(folder, tmp_path / "RUNS.CSV")
    assert (tmp_path / "RUNS.CSV").read_text().startswith('"study_name"')


@pytest.mark.parametrize("target", ["out", "out.d/", "a/b"])
def test_a_folder_gets_all_tables_and_their_description(
    folder: Path, tmp_path: Path, target: str
) -> None:
    export(folder, f"{tmp_path}/{target}", format="csv")
    out = tmp_path / target
    assert {"datapackage.json", "requests.csv", "runs.csv"} <= set(names_in(out))
    assert "samples.csv" not in names_in(out)
    package = json.loads((out / "datapackage.json").read_text("utf-8"))
    for described in package["resources"]:
        content = (out / described["path"]).read_bytes()
        assert described["bytes"] == len(content)
        assert described["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        header = content.decode().split("\n", 1)[0]
        fields = described["schema"]["fields"]
        assert header == ",".join(f'"{field["name"]}"' for field in fields)
        assert {field["type"] for field in fields} <= {
            *("string", "integer", "number", "boolean", "datetime")
        }


def test_croissant_describes_the_files(folder: Path, tmp_path: Path) -> None:
    export(folder, tmp_path / "out", samples=True, croissant=True)
    described = json.loads((tmp_path / "out" / "croissant.json").read_text("utf-8"))
    files = {file["@id"]: file for file in described["distribution"]}
    assert {"runs.parquet", "requests.parquet", "samples.parquet"} <= set(files)
    for name, file in files.items():
        content = (tmp_path / "out" / name).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
    for records in described["recordSet"]:
        for field in records["field"]:
            assert field["source"]["fileObject"]["@id"] in files


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        ({"samples": True}, "use --table samples, or a folder"),
        ({"croissant": True}, "--croissant describes the tables of a folder"),
        ({"format": "csv"}, "its ending is its format"),
        ({"samples": True, "table": "runs"}, "use it without --table"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(
    folder: Path, tmp_path: Path, choices: dict[str, object], problem: str
) -> None:
    with pytest.raises(ReportError, match=problem):
        export(folder, tmp_path / "x.parquet", **choices)  # type: ignore[arg-type]
    assert names_in(tmp_path) == ["grid"]


def test_the_folder_of_a_running_study_is_not_changed(folder: Path, tmp_path: Path) -> None:
    before = names_in(folder)
    with hold(folder / ".lock", str(folder)):
        with pytest.raises(ReportError, match="the study is running, so its folder may not be"):
            export(folder, folder / "runs.csv")
        with pytest.raises(ReportError, match="the study is running"):
            export(folder, folder / "tables")
        export(folder, tmp_path / "runs.csv")  # elsewhere it is fine
    assert [name for name in names_in(folder) if name != ".lock"] == before
    export(folder, folder / "runs.csv")


def test_files_of_a_run_are_never_replaced(folder: Path) -> None:
    run = (folder / str(read_manifest(folder).entries[0].result_file)).parent
    before = (run / "requests.parquet").read_bytes()
    for target in (run / "requests.parquet", run):
        with pytest.raises(ReportError, match="outside the folders of the runs"):
            export(folder, target, table="requests", force=True)
    assert (run / "requests.parquet").read_bytes() == before


def test_a_missing_folder_of_the_file_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="cannot be written: No such file or directory"):
        export(folder, tmp_path / "absent" / "runs.csv")


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_full_disk_leaves_no_file(
    folder: Path, tmp_path: Path, small_files: None, ending: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    target = out / f"runs.{ending}"
    with pytest.raises(ReportError) as caught:
        export(folder, target)
    assert str(caught.value) == (f"{target} cannot be written: File too large; nothing was written")
    assert names_in(out) == []


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "x" * 300 + ".csv"])
def test_an_impossible_name_is_one_sentence(folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ReportError, match=r"^[^\n]*(too long|null)[^\n]*$"):
        export(folder, tmp_path / name)
    assert names_in(tmp_path) == ["grid"]


def test_a_folder_that_the_export_made_goes_with_its_failure(
    folder: Path, tmp_path: Path, small_files: None
) -> None:
    with pytest.raises(ReportError, match="File too large; nothing was written"):
        export(folder, tmp_path / "tables")
    assert names_in(tmp_path) == ["grid"]


def test_the_same_study_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export(folder, tmp_path / name, samples=True, croissant=True)
    assert names_in(tmp_path / "a") == names_in(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
