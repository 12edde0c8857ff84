"""`study run --gpus`: real runs of a model on the CPU, metered by two scripted GPUs (STU-10)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu
from fakes.powercap import add_domain

from llem_energy import read_result
from llem_runner import read_manifest, read_study_result
from llem_runner.records import ManifestEntry

STUDY = """\
name: several
model: builtin:tiny-llama
precision: fp32
n: 2
max_input_tokens: 8
max_output_tokens: 4
warmup: {n_warmup: 1, convergence_detection: false}
baseline: {enabled: false}
energy: {sources: [nvml, rapl], min_window_seconds: 0.3}
pytorch: {device: cpu}
execution: {n_cycles: 3, cycle_order: shuffled, config_gap_seconds: 0, cycle_gap_seconds: 0}
sweep: {pytorch.batch_size: [1, 2]}
"""
FIRST, SECOND = f"GPU-cli{os.getpid()}-1", f"GPU-cli{os.getpid()}-2"
GPUS = (
    FakeGpu(uuid=FIRST, points=((0.0, 100.0), (600.0, 60_100.0)), linear=True),
    FakeGpu(uuid=SECOND, points=((0.0, 250.0),)),
)


@pytest.fixture
def env(library: Path, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "study.yaml").write_text(STUDY)
    fake_nvml.write_trace(tmp_path / "gpus.trace", GPUS)
    add_domain(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    powercap = {"LLEM_POWERCAP": str(tmp_path)}
    return os.environ | fake_nvml.environment(library, tmp_path / "gpus.trace") | powercap


def started(folder: Path, env: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "llem_cli", "study", *arguments],
        cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def llem(folder: Path, env: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    process = started(folder, env, *arguments)
    out, err = process.communicate(timeout=280)
    return process.returncode, out, err


def gpu_of(folder: Path, entry: ManifestEntry) -> str:
    (gpu,) = read_result(folder / str(entry.result_file)).energy_per_device_j
    return gpu


@pytest.mark.timeout(300)
def test_a_study_on_two_gpus_gives_one_result_with_the_gpus_as_blocks(
    env: dict[str, str], tmp_path: Path
) -> None:
    code, out, err = llem(tmp_path, env, "run", "study.yaml", "--gpus", "all", "--json")
    assert code == 0, err
    assert json.loads(out)["status"] == "completed"
    (folder,) = (tmp_path / "results").iterdir()
    entries = read_manifest(folder).entries
    assert [entry.status for entry in entries] == ["completed"] * 6
    by_shard: dict[int | None, set[str]] = {}
    for entry in entries:
        by_shard.setdefault(entry.shard, set()).add(gpu_of(folder, entry))
    assert len(by_shard) == 3 and all(len(gpus) == 1 for gpus in by_shard.values())
    assert {gpu for gpus in by_shard.values() for gpu in gpus} == {FIRST, SECOND}
    assert "[6/6] GPU " in err and "6 runs in " in err

    comparisons = read_study_result(folder).summary.comparisons
    assert comparisons is not None and comparisons.reason is None
    assert {block.devices for block in comparisons.blocks} == {(FIRST,), (SECOND,)}
    assert "between blocks: the blocks have 2 sets of devices" in comparisons.error_budget["gain"]
    summary = read_study_result(folder).summary
    assert summary.neighbours is not None and summary.neighbours.n_runs == 6
    assert summary.device_hours is not None and summary.device_hours > 0

    beside: dict[str, list[Any]] = {FIRST: [], SECOND: []}
    for entry in entries:
        result = read_result(folder / str(entry.result_file))
        (neighbour,) = result.neighbours
        beside[gpu_of(folder, entry)].append((neighbour, result.figures["energy_total_j"]))
        assert result.environment_snapshot.environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
        assert result.energy_source == "nvml" and result.energy_total_j is not None
        host = result.figures["energy_host_j"]
        assert host.status == "missing" and "other jobs share the package" in host.reasons[0]
    assert all(neighbour.uuid == FIRST for neighbour, _ in beside[SECOND])
    # The power of the first GPU rises by 100 W a second, that of the second one is constant.
    for neighbour, quality in beside[SECOND]:
        assert any(f"neighbouring GPU {FIRST}" in reason for reason in quality.reasons)
        assert neighbour.power_end_w > neighbour.power_start_w + 50
    for neighbour, quality in beside[FIRST]:
        assert neighbour.powers_w == (250.0, 250.0, 250.0)
        assert not any("neighbouring" in reason for reason in quality.reasons)


@pytest.mark.timeout(300)
def test_ctrl_c_ends_all_runs_and_the_last_line_continues_the_study(
    env: dict[str, str], tmp_path: Path
) -> None:
    process = started(tmp_path, env, "run", "study.yaml", "--gpus", "0,1", "--cycles", "2")
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if "[1/4]" in line:
            process.send_signal(signal.SIGINT)
            break
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 130
    lines += rest.splitlines(keepends=True)
    (folder,) = (tmp_path / "results").iterdir()
    assert lines[-1].startswith("continue with `llem-cli study resume ")
    assert f"{folder.name} --gpus 0,1`" in lines[-1]
    states = [entry.status for entry in read_manifest(folder).entries]
    assert "completed" in states and "running" not in states and set(states) != {"completed"}
    left = [
        each
        for each in Path("/proc").glob("[0-9]*/cmdline")
        if folder.name.encode() in _content(each)
    ]
    assert left == []
    code, _, err = llem(tmp_path, env, "resume", str(folder), "--gpus", "0,1")
    assert code == 0, err
    assert {entry.status for entry in read_manifest(folder).entries} == {"completed"}


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--gpus", "0,7"], f"that this process may use ({FIRST}, {SECOND}), found 7"),
        (["--gpus", "²"], f"that this process may use ({FIRST}, {SECOND}), found '²'"),
        (["--gpus", "9" * 5000], f"that this process may use ({FIRST}, {SECOND}), found '999"),
        (["--gpus", "0,,1"], "expected `all`, or numbers or UUIDs such as 0,1, found '0,,1'"),
        (["--gpus", "all", "--wait"], "expected either --wait or --gpus, found both"),
        (
            ["--gpus", "all", "--order", "sequential"],
            "expected shuffled for a study that is divided",
        ),
    ],
    # Not the sentences: UUIDs differ between the processes of the tests.
    ids=["unknown", "superscript", "long", "empty", "wait", "order"],
)
def test_a_wrong_choice_is_one_sentence_and_writes_nothing(
    env: dict[str, str], tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    code, _, err = llem(tmp_path, env, "run", "study.yaml", *arguments)
    assert code in (1, 2)
    assert sentence in " ".join(err.split())
    assert not (tmp_path / "results").exists()
