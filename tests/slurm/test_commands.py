"""The commands of a study on a real Slurm, and the study of the quickstart from start to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm.loopback import Loopback
from slurm.plans import counting_programs
from slurm.studies import stand_in_python

from llem_runner import read_manifest
from llem_runner.shards import read_plan

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[2]
SMALL = ["--set", "n=2", "--set", "max_output_tokens=4", "--no-gaps"]


def llem(work: Path, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "llem_cli", *map(str, arguments)],
        cwd=work, env=os.environ, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def work(on_slurm: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a small study, on a Slurm whose nodes have no driver for GPUs."""
    settings = tmp_path / "config.yaml"
    settings.write_text("clusters:\n  slurm: {gpus: 0, time: 10m}\n")
    monkeypatch.setenv("LLEM_CONFIG", str(settings))
    (tmp_path / "quickstart.yaml").write_text((ROOT / "examples" / "quickstart.yaml").read_text())
    return tmp_path


def folder_of(work: Path) -> Path:
    (folder,) = (work / "results").iterdir()
    return folder


def test_a_dry_run_prints_what_is_submitted_and_writes_nothing(
    on_slurm: Loopback, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["study", "submit", "quickstart.yaml", "--on", "slurm", "--at-most", "1",
                 "--sbatch=--nice=5", "--time-per-shard", "20m", *SMALL]  # fmt: skip
    asked = work / "asked.txt"
    counting_programs(work / "bin", asked)
    monkeypatch.setenv("PATH", f"{work / 'bin'}{os.pathsep}{os.environ['PATH']}")
    dry = json.loads(llem(work, *arguments, "--dry-run", "--json").stdout)
    assert not (work / "results").exists()
    assert asked.read_text() == "scontrol show config\n"
    submitted = json.loads(llem(work, *arguments, "--json").stdout)
    folder = folder_of(work)
    ((path, text),) = dry["files"].items()
    name = text.split("--job-name=llem-")[1].split()[0]
    assert (folder / path).read_text() == text.replace(name, folder.name)
    assert "--array=1-3%1\n" in text and "--nice=5\n" in text and "--time=0:20:00\n" in text
    # A study that has a folder shows exactly the bytes of the next submission.
    llem(work, "study", "cancel", folder)
    dry = json.loads(
        llem(work, "study", "resume", folder, "--on", "slurm", "--dry-run", "--json").stdout
    )
    llem(work, "study", "resume", folder, "--on", "slurm")
    assert (folder / path).read_text() == dry["files"][path]
    script = on_slurm.ask("scontrol", "write", "batch_script", f"{_newest(folder)}_1", "-")
    assert f"{script}\n" == dry["files"][path]
    assert submitted["tickets"][0]["job"] != _newest(folder)
    assert "nothing to submit, because every shard with runs left waits" in (
        llem(work, "study", "resume", folder, "--on", "slurm").stdout
    )
    llem(work, "study", "cancel", folder)


def _newest(folder: Path) -> str:
    tickets = json.loads((folder / "cluster" / "slurm" / "tickets.json").read_text())
    return str(tickets["tickets"][-1]["job"])


def test_a_refused_study_is_kept_and_continued_after_the_correction(
    on_slurm: Loopback, work: Path
) -> None:
    (work / "config.yaml").write_text("clusters:\n  slurm:\n    gpus: 0\n    partition: nope\n")
    refused = llem(work, "study", "submit", "quickstart.yaml", "--on", "slurm", *SMALL, code=1)
    folder = folder_of(work)
    assert "clusters.slurm.partition = nope" in refused.stderr
    assert f"llem-cli study resume {folder} --on slurm" in refused.stderr
    llem(work, "config", "set", "clusters.slurm.partition", "p")
    llem(work, "study", "resume", folder, "--on", "slurm")
    assert on_slurm.ask("squeue", "-h", "-r", "-o", "%F").split() == [_newest(folder)] * 3
    shown = llem(work, "study", "show", folder)
    assert "cluster" in shown.stdout, shown.stdout
    assert "waiting" in shown.stdout or "running on n" in shown.stdout
    llem(work, "study", "cancel", folder)
    shown = llem(work, "study", "show", folder)
    assert "ended: cancelled" in shown.stdout


def test_run_on_slurm_is_submit_and_added_cycles_are_submitted_alone(
    on_slurm: Loopback, work: Path
) -> None:
    python = stand_in_python(work / "python", 0.1, 0.1)
    (work / "config.yaml").write_text(
        f"clusters:\n  slurm: {{gpus: 0, time: 10m, exclusive: false, python: {python}}}\n"
    )
    run = ["study", "run", "quickstart.yaml", "--on", "slurm", "--cycles", "1", *SMALL, "--json"]
    dry = json.loads(llem(work, *run, "--dry-run").stdout)
    assert not (work / "results").exists()
    ran = json.loads(llem(work, *run).stdout)
    folder = folder_of(work)
    ((path, text),) = dry["files"].items()
    name = text.split("--job-name=llem-")[1].split()[0]
    assert (folder / path).read_text() == text.replace(name, folder.name)
    assert (ran["n_shards"], ran["submitted"]) == (1, [1])
    _settle(on_slurm)
    assert read_manifest(folder).status == "completed"
    before = {p: p.read_bytes() for p in folder.glob("shards/*/shard.json")}
    # Cycles are shown, then added, and only their shards are submitted.
    more = ["study", "resume", str(folder), "--cycles", "3", "--on", "slurm"]
    dry = json.loads(llem(work, *more, "--dry-run", "--json").stdout)
    assert len(read_plan(folder).shards) == 1
    done = json.loads(llem(work, *more, "--json").stdout)
    assert (done["n_shards"], done["submitted"]) == (3, [2, 3])
    assert (folder / path).read_text() == dry["files"][path]
    assert "--array=2-3" in dry["files"][path]
    _settle(on_slurm)
    assert "nothing to submit" in llem(work, *more).stdout  # nothing is added twice
    manifest = read_manifest(folder)
    assert (manifest.status, manifest.totals.completed, manifest.looks) == ("completed", 12, (1,))
    assert {p: p.read_bytes() for p in before} == before


def _settle(slurm: Loopback) -> None:
    """Return when no task waits or runs."""
    end = time.monotonic() + 240
    while slurm.ask("squeue", "-h", check=False):
        assert time.monotonic() < end, slurm.ask("squeue", "-r", "-t", "all", check=False)
        slurm.hurry()
        time.sleep(0.5)


_ELSEWHERE = """
mount -t tmpfs none results
{python} -m llem_cli study submit quickstart.yaml --on slurm {small} > /dev/null || exit
for i in $(seq 240); do [ -z "$(squeue -h)" ] && break; sleep 0.5; done
{python} -m llem_cli study show results/*
"""


def test_a_folder_that_the_nodes_do_not_see_is_named_and_kept(
    on_slurm: Loopback, work: Path
) -> None:
    (work / "results").mkdir()
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("this machine does not allow a mount that only one process sees")
    script = _ELSEWHERE.format(python=sys.executable, small=" ".join(SMALL))
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script],
        cwd=work, env=os.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    text = " ".join(done.stdout.split())
    assert "3 jobs ended before the shard began" in text
    assert f"the machines of the cluster do not see {work}/results/" in text
    assert "--on slurm`" in text


def test_without_slurm_nothing_is_written(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(work))
    done = llem(work, "study", "submit", "quickstart.yaml", "--on", "slurm", *SMALL, code=2)
    assert "no Slurm here" in done.stderr
    assert not (work / "results").exists()
    done = llem(work, "study", "submit", "quickstart.yaml", "--on", "pbs", *SMALL, code=1)
    assert "expected one of none, slurm, found 'pbs'" in done.stderr
