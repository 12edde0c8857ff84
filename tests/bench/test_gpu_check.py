"""The GPU check describes a meter correctly, on simulated meters with known properties."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu, Fault

from benchmarks.gpu.counter import conclusion
from benchmarks.gpu.traces import follow, settled_s
from benchmarks.shared.quantiles import median_interval
from llem_energy._board_check.waves import Fit

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_check.py"


def run(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_response_is_explained_in_words() -> None:
    exact = Fit(delay_s=0.0, lag_s=0.0, off_w=80.0, on_w=600.0, explained=0.999)
    late = Fit(delay_s=0.06, lag_s=0.0, off_w=80.0, on_w=600.0, explained=0.999)
    smeared = Fit(delay_s=0.0, lag_s=0.2, off_w=80.0, on_w=600.0, explained=0.999)
    unclear = Fit(delay_s=0.0, lag_s=0.0, off_w=80.0, on_w=600.0, explained=0.5)
    assert conclusion(exact, exact, 0.1).startswith("exact at its updates")
    assert conclusion(late, None, 0.1).startswith("exact, but late by 60 ms")
    assert conclusion(smeared, None, 0.1).startswith("filtered with a lag of about 200 ms")
    assert conclusion(smeared, smeared, 0.1).startswith("exact at its updates")
    assert conclusion(unclear, None, 0.1).startswith("unclear")


def test_power_has_settled_when_it_stays_near_idle() -> None:
    falling = [(0.1 * k, 80 + 400 * math.exp(-k)) for k in range(60)]
    falling[7] = (0.7, 300.0)  # another kernel
    assert settled_s(falling, 0.0, 80.0) == pytest.approx(0.8)
    assert settled_s(falling, 2.0, 80.0) == pytest.approx(0.0)
    assert settled_s(falling, 0.0, 60.0) is None
    assert settled_s(falling[:10], 0.0, 80.0) is None  # too short


def test_timestamps_follow_the_query_or_the_sensor_or_neither() -> None:
    times = [k / 1000 for k in range(1000)]
    queried = follow([(t, round(1e6 * t), int(t / 0.1)) for t in times])
    assert queried.follows == "the query"
    assert queried.step_s == pytest.approx(0.001)
    assert queried.value_period_s == pytest.approx(0.1)
    sensed = follow([(t, 100_000 * int(t / 0.1), int(t / 0.1)) for t in times])
    assert (sensed.follows, sensed.moved_share) == ("the sensor", 0.0)
    assert sensed.step_s == pytest.approx(0.1)
    copied = follow([(t, 3_000 * int(t / 0.003), int(t / 0.1)) for t in times])
    assert copied.follows == "neither"
    assert copied.step_s == pytest.approx(0.003)
    assert follow([(t, 0, int(t / 0.1)) for t in times]).follows == "nothing"


def test_the_interval_of_a_median_contains_the_median() -> None:
    assert median_interval([float(k) for k in range(101)]) == (50.0, 40.0, 60.0)
    assert median_interval([1.0, 3.0, 2.0]) == (2.0, 1.0, 3.0)


def checked(library: Path, folder: Path, gpu: FakeGpu, *parts: str) -> dict[str, Any]:
    """Run parts that need no load and return their figures; check that the rows are printed."""
    fake_nvml.write_trace(folder / "trace", [gpu])
    fake = fake_nvml.environment(library, folder / "trace")
    done = run(fake, *parts, "--no-load", "--quick", "--json", str(folder / "report.json"))
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads((folder / "report.json").read_text("utf-8"))["parts"]
    for part in report.values():
        assert part["failed"] is None
        for cells in part["rows"]:
            assert f"| {' | '.join(cells)} |" in done.stdout
    return report


def test_without_a_load_it_reports_the_truth_of_the_scripted_driver(
    library: Path, tmp_path: Path
) -> None:
    # Power changes at every update of its sensor, by less than one percent.
    points = tuple((0.07 * k, 300.0 + 37 * k % 3) for k in range(30))
    gpu = FakeGpu(points=points, repeat_s=2.1, counter_period_s=0.08, counter_gain=1.08)
    # Two of these need a load and are skipped, as they are if no part is named.
    parts = "environment", "calibration", "stamps", "exactness", "agreement", "tail"
    report = checked(library, tmp_path, gpu, *parts)
    assert list(report) == ["environment", "calibration", "stamps", "agreement"]
    assert report["environment"]["figures"]["gpu"]["name"] == gpu.name
    idle = report["calibration"]["figures"]["idle"]
    assert idle["counter_period_s"] == pytest.approx(0.08, rel=0.05)
    assert idle["power_period_s"] == pytest.approx(0.1, rel=0.05)
    assert report["stamps"]["figures"]["83"]["follows"] == "the query"
    idle = report["agreement"]["figures"]["idle"]
    assert idle["counter_w"] == pytest.approx(1.08 * 301.0, rel=0.01)
    assert idle["integrated_w"] == pytest.approx(301.0, rel=0.01)
    assert idle["disagreement"] == pytest.approx(1 / 1.08 - 1, abs=0.01)


@pytest.mark.slow  # imports torch and runs a model
def test_latency_and_the_cost_of_a_sampler_are_measured_on_a_cpu_too(
    library: Path, tmp_path: Path
) -> None:
    report = checked(library, tmp_path, FakeGpu(latency_us=400), "latency", "sampler")
    figures = report["latency"]["figures"]
    # A reading is one call of the driver, which takes 0.4 ms here.
    assert 0.0004 < figures["calls"]["our reading"] < 0.02
    assert 0.0004 < figures["sampler_p50_s"] <= figures["sampler_p99_s"]
    assert 0.0004 < figures["edge_p50_s"] <= figures["edge_p99_s"]
    for rate in ("20 Hz", "10 Hz"):
        cost = report["sampler"]["figures"][rate]
        assert 0 < cost["low"] <= cost["ratio"] <= cost["high"]
        assert min(cost["tokens_per_s"]) > 0


def test_a_failed_part_prints_its_error_and_the_next_part_runs(
    library: Path, tmp_path: Path
) -> None:
    fake_nvml.write_trace(tmp_path / "trace", [FakeGpu()])
    fake = fake_nvml.environment(library, tmp_path / "trace")
    # Without entry points no backend can be found.
    program = (
        "import sys, runpy, importlib.metadata as m; m.distributions = lambda **_: ();"
        "sys.argv[1:] = ['latency', 'environment', '--no-load', '--quick'];"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **fake}, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    failed = next(k for k, row in enumerate(rows) if row.startswith("| latency | failed: Backend"))
    assert any(row.startswith("| GPU | Fake H200") for row in rows[failed:])


def test_without_a_driver_it_exits_with_one_line(library: Path, tmp_path: Path) -> None:
    # A driver that does not load, because this machine may have a real one.
    gpu = FakeGpu(faults=(Fault("nvmlInitWithFlags", 9),))
    fake_nvml.write_trace(tmp_path / "trace", [gpu])
    done = run(fake_nvml.environment(library, tmp_path / "trace"), "--no-load")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("no GPU to check: the NVIDIA driver cannot be used: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.gpu
@pytest.mark.timeout(600)
def test_the_check_runs_on_a_gpu(tmp_path: Path) -> None:
    done = run({}, "--quick", "--json", str(tmp_path / "report.json"))
    if done.returncode == 1 and done.stderr.startswith("no GPU to check"):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    parts = json.loads((tmp_path / "report.json").read_text("utf-8"))["parts"]
    assert {name: part["failed"] for name, part in parts.items()} == dict.fromkeys(parts)
    assert 0.001 <= parts["calibration"]["figures"]["idle"]["counter_period_s"] <= 1.0
