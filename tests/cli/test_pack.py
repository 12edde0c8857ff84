"""A packed study gives the same as an unpacked one, whatever reads it; `study pack` and `submit --pack`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.packed_studies import complete_study, files_below
from fakes.shard_studies import SECONDS

from llem_cli._commands.metered_runs import metered_runs
from llem_runner import read_manifest
from llem_runner.shards import merge_study, pack_study, read_plan

TESTS = Path(__file__).parents[1]
STUDY = """\
name: small
model: builtin:tiny-llama
pytorch: {device: cpu}
sweep: {n: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}
execution: {n_cycles: 2, config_gap_seconds: 0, cycle_gap_seconds: 0}
"""
READERS = {
    "show": ("show", "{}"),
    "show as JSON": ("show", "{}", "--json"),
    "merge": ("merge", "{}", "--json"),
    "verify": ("verify", "{}", "--files-only"),
    "verify as JSON": ("verify", "{}", "--files-only", "--json"),
    "report": ("report", "{}", "--output", "out/report.html"),
    "report of a run": ("report", "{}", "--output", "out/one.html", "--run", "{run}"),
    "tables": ("export", "{}", "out/tables/", "--format", "csv"),
    "methods": ("methods", "{}"),
    "methods as LaTeX": ("methods", "{}", "--latex"),
    "comparison": ("compare", "{}", "{}"),
    "archive": ("archive", "{}", "--output", "out/archive.zip"),
    "show of the archive": ("show", "out/archive.zip"),
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a study twice: as its runs left it, and packed."""
    work = tmp_path_factory.mktemp("both")
    made = complete_study(work / "made")
    merge_study(made)
    folders = work / "loose" / made.name, work / "packed" / made.name
    for folder in folders:
        shutil.copytree(made, folder)
        (folder.parent / "out").mkdir()
    pack_study(folders[1])
    assert not [*folders[1].glob("shards/*/a*/*_c*")]
    return folders


def llem(cwd: Path, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "llem_cli", "study", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_reader_gives_the_same_of_a_packed_study(both: tuple[Path, Path]) -> None:
    entries = read_manifest(both[0]).entries
    run = next(entry.index for entry in entries if entry.status == "completed")
    for name, arguments in READERS.items():
        seen = []
        for folder in both:
            given = [argument.format(folder.name, run=run) for argument in arguments]
            done = llem(folder.parent, *given)
            seen.append((done.returncode, done.stdout, done.stderr))
        assert seen[0] == seen[1], name
        assert seen[0][0] in ((0, 4) if name == "comparison" else (0,)), (name, seen[0])
    written = [files_below(folder.parent / "out") for folder in both]
    assert written[0].keys() == written[1].keys()
    assert {name for name in written[0] if written[0][name] != written[1][name]} == set()
    tables = {Path(name).name for name in written[0]}
    assert {"report.html", "samples.csv", "requests.csv", "archive.zip"} <= tables
    assert written[1]["tables/samples.csv"].count(b"\n") == 1 + 18 * 200


def test_a_calibration_reads_the_same_samples(both: tuple[Path, Path]) -> None:
    loose, packed = (metered_runs([folder]) for folder in both)
    assert len(loose.runs) == 18
    assert repr(loose.runs) == repr(packed.runs)
    assert loose.notes == packed.notes


def test_pack_says_what_it_did_and_what_is_left(both: tuple[Path, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(both[0], tmp_path / both[0].name))
    shutil.rmtree(folder / "shards/0004/a01")
    done = llem(tmp_path, "pack", folder.name)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{folder.name}: ")
    assert "files of 5 attempts packed (" in done.stdout
    assert "shard 4 is not packed, because 5 of its 5 runs are left" in done.stderr
    again = json.loads(llem(tmp_path, "pack", folder.name, "--json").stdout)
    assert (again["n_files"], len(again["left"])) == (0, 1)
    (folder / "shards/0003/a01/runs.zip").write_bytes(b"PK")
    refused = llem(tmp_path, "merge", folder.name)
    assert "runs.zip is damaged: File is not a zip file; restore it from a copy" in refused.stderr
    other = llem(tmp_path, "pack", tmp_path)
    assert (other.returncode, other.stderr.count("\n")) == (1, 1)


def test_a_study_that_is_submitted_so_packs_itself(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    made = llem(
        tmp_path, "submit", "study.yaml", "--pack", "--shards", "1", "--output", tmp_path, "--json"
    )
    folder = Path(json.loads(made.stdout)["folder"])
    for shard in read_plan(folder).shards:
        subprocess.run(
            [sys.executable, "-m", "fakes.shard_studies", str(folder), str(shard.number)],
            env={**os.environ, "PYTHONPATH": str(TESTS), SECONDS: "0"},
            check=True,
        )
    names = {path.name for path in folder.glob("shards/*/a01/*")}
    assert names == {"attempt.json", "manifest.json", "runs.zip"}
    shown = json.loads(llem(tmp_path, "show", folder, "--json").stdout)
    assert shown["summary"]["completed"] == 20
