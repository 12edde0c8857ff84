"""A packed study gives the same as an unpacked one, whatever reads it; `study pack` and `submit --pack`."""

from __future__ import annotations

import json
import os
import pickle
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
sweep: {n: [1, 2, 3, 4]}
execution: {n_cycles: 1, config_gap_seconds: 0, cycle_gap_seconds: 0}
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
    "samples": ("export", "{}", "out/samples.csv", "--table", "samples"),
    "methods": ("methods", "{}"),
    "methods as LaTeX": ("methods", "{}", "--latex"),
    "comparison": ("compare", "{}", "{}"),
    "archive": ("archive", "{}", "--output", "out/archive.zip"),
    "show of the archive": ("show", "out/archive.zip"),
}
READ = """
import json, os, sys, tempfile
from pathlib import Path
import llem_cli._app
from llem_cli import main
import llem_report, llem_runner, numpy, pyarrow.parquet
seen = {}
for name, arguments in json.loads(sys.argv[1]).items():
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = ["llem-cli", "study", *arguments]
            main()
            os._exit(99)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        seen[name] = [code, *(Path(f"/proc/self/fd/{file.fileno()}").read_text() for file in (out, err))]
print(json.dumps(seen))
"""
"""Each command in a fork: to start Python and import everything takes seconds."""


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
    commands = {
        name: [argument.format(both[0].name, run=run) for argument in arguments]
        for name, arguments in READERS.items()
    }
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READ, json.dumps(commands)],
            cwd=folder.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        for folder in both
    ]
    loose, packed = (json.loads(reader.communicate()[0]) for reader in readers)
    for name in READERS:
        assert packed[name] == loose[name]
        assert loose[name][0] == 0, loose[name]
    written = [files_below(folder.parent / "out") for folder in both]
    assert written[0].keys() == written[1].keys()
    assert {name for name in written[0] if written[0][name] != written[1][name]} == set()
    tables = {Path(name).name for name in written[0]}
    assert {"report.html", "samples.csv", "requests.csv", "archive.zip"} <= tables
    assert written[1]["samples.csv"].count(b"\n") == 1 + 18 * 200


def test_a_calibration_reads_the_same_samples(both: tuple[Path, Path]) -> None:
    loose, packed = (metered_runs([folder]) for folder in both)
    assert len(loose.runs) == 18
    assert [*map(pickle.dumps, loose.runs)] == [*map(pickle.dumps, packed.runs)]
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
    assert merge_study(folder, write=False).summary.completed == 4
