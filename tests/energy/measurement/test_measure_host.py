"""The joules of a processor are beside those of GPUs, and never replace them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from energy.parts import QUICK, with_gpus
from fakes.fake_nvml import FakeGpu, Fault
from fakes.powercap import RANGE_UJ, add_domain

ENTRY_POINTS = """
[llem.backends]
parrot = llem_parrot._backend:ParrotBackend
[llem.backend_facts]
parrot = llem_parrot._facts:ParrotFacts
[llem.sections]
parrot = llem_parrot._section:ParrotConfig
"""
EXAMPLE = Path(__file__).parents[2] / "example_backend" / "src"
# The processor's counter rises by 50 W, in the file that the kernel would fill.
PROGRAM = """
import os, shutil, sys, threading, time
from pathlib import Path
import msgspec
from llem_config import ExperimentConfig
from llem_energy import measure
event = os.environ["RAPL_EVENT"]
package = Path(os.environ["LLEM_POWERCAP"]) / "intel-rapl:0"
counter = package / "energy_uj"
gone = threading.Event()
zero_uj = 0
start = time.perf_counter()
def burn():
    range_uj = int((package / "max_energy_range_uj").read_text())
    while not gone.is_set():
        energy_uj = (int(50e6 * (time.perf_counter() - start)) - zero_uj) % range_uj
        counter.with_suffix(".new").write_text(str(energy_uj))
        counter.with_suffix(".new").replace(counter)
        time.sleep(0.002)
def begin():
    threading.Thread(target=burn, daemon=True).start()
if counter.exists():
    begin()
def act():
    global zero_uj
    if event in ("vanishes", "unreadable", "comes back", "pauses"):
        gone.set()
        time.sleep(0.1)
    if event == "vanishes":
        shutil.rmtree(package)
    if event in ("unreadable", "comes back"):
        counter.unlink()
        counter.symlink_to("energy_uj")  # cannot be opened, by any user
    if event == "comes back":
        time.sleep(1.0)
        counter.unlink()
        gone.clear()
        begin()
    if event == "is reset":
        zero_uj += int(counter.read_text())
    if event == "other package vanishes":
        shutil.rmtree(package.with_name("intel-rapl:1"))
def watch(stage):
    if stage == "window":
        threading.Timer(1.5, act).start()
result = measure(ExperimentConfig.model_validate_json(sys.argv[1]), on_stage=watch)
print(msgspec.json.encode(result).decode())
"""
GPU = FakeGpu(points=((0.0, 200.0),), idle_w=300.0, counter_phase_s=0.037)
NO_METER = FakeGpu(
    faults=tuple(
        Fault(function, 3)
        for function in (
            "nvmlDeviceGetFieldValues", "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetPowerUsage"
        )
    )
)  # fmt: skip
DERIVED = (
    "energy_total_j", "energy_adjusted_j", "energy_per_output_token_j", "energy_per_input_token_j",
    "energy_per_prompt_j",
)  # fmt: skip


def measured(
    library: Path,
    folder: Path,
    gpu: FakeGpu,
    sources: list[str],
    *,
    n_packages: int = 1,
    range_uj: int = RANGE_UJ,
    event: str = "",
    seconds: float = 2.0,
) -> dict[str, Any]:
    """Measure a model that runs on a GPU, beside a processor that draws 50 W."""
    info = folder / "site" / "parrot-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    for number in range(n_packages):
        name = f"intel-rapl:{number}"
        add_domain(folder, name, f"package-{number}", 0, range_uj=range_uj)
    config = {
        **{key: value for key, value in QUICK.items() if key != "pytorch"},
        "backend": "parrot", "parrot": {"device": "gpu"},
        "energy": {"sources": sources, "min_window_seconds": seconds},
    }  # fmt: skip
    text = json.dumps(config)
    env = {
        "LLEM_POWERCAP": str(folder), "PYTHONPATH": f"{info.parent}{os.pathsep}{EXAMPLE}",
        "RAPL_EVENT": event,
    }  # fmt: skip
    result: dict[str, Any] = with_gpus(PROGRAM, library, [gpu], folder, text, env=env)
    return result


def test_both_are_metered_and_stay_apart(library: Path, tmp_path: Path) -> None:
    result = measured(library, tmp_path, GPU, ["nvml", "rapl"])
    seconds = result["window_s"]
    assert result["energy_source"] == "nvml"
    assert result["energy_total_j"] == pytest.approx(200 * seconds, rel=0.05)
    assert result["energy_host_source"] == "rapl"
    assert result["energy_host_j"] == pytest.approx(50 * seconds, rel=0.2)
    off_j = abs(result["energy_host_j"] - 50 * seconds)
    assert off_j <= result["energy_host_bound_j"] + 0.5  # the thread that burns is late at times
    both_j = result["energy_total_j"] + result["energy_host_j"]
    tokens = result["output_tokens"]
    assert result["energy_per_output_token_with_host_j"] == pytest.approx(both_j / tokens)
    assert result["energy_per_output_token_j"] == pytest.approx(result["energy_total_j"] / tokens)
    assert list(result["energy_per_device_j"]) == [GPU.uuid]


@pytest.mark.parametrize("sources", [["nvml", "rapl"], ["rapl", "nvml"], ["rapl"]])
def test_a_processor_does_not_stand_in_for_a_gpu(
    library: Path, tmp_path: Path, sources: list[str]
) -> None:
    result = measured(library, tmp_path, NO_METER, sources)
    assert {name: result[name] for name in DERIVED} == dict.fromkeys(DERIVED)
    for name in DERIVED:
        quality = result["figures"][name]
        assert quality["status"] == "missing"
        assert any("energy of the GPUs was not measured" in r for r in quality["reasons"]), quality
    assert result["energy_source"] is None
    assert result["energy_host_j"] == pytest.approx(50 * result["window_s"], rel=0.2)
    assert result["energy_per_output_token_with_host_j"] is None


def test_a_host_that_cannot_be_metered_is_missing_with_its_reason(
    library: Path, tmp_path: Path
) -> None:
    result = measured(library, tmp_path, GPU, ["nvml", "rapl"], n_packages=0)
    assert result["energy_total_j"] is not None
    assert result["energy_host_j"] is None
    quality = result["figures"]["energy_host_j"]
    assert quality["status"] == "missing"
    assert "no energy counters below" in quality["reasons"][0]
    assert not any("counters below" in warning for warning in result["measurement_warnings"])


def test_a_counter_that_vanishes_in_the_window_leaves_the_gpus_and_no_joules_of_its_own(
    library: Path, tmp_path: Path
) -> None:
    result = measured(library, tmp_path, GPU, ["nvml", "rapl"], event="vanishes", seconds=6.0)
    assert result["energy_total_j"] == pytest.approx(200 * result["window_s"], rel=0.05)
    assert result["energy_host_j"] is None
    assert result["energy_per_output_token_with_host_j"] is None
    quality = result["figures"]["energy_host_j"]
    assert quality["status"] == "missing"
    (failure,) = [reason for reason in quality["reasons"] if "its meter failed" in reason]
    assert failure.startswith("package-0: its meter failed ")
    assert "energy_uj: No such file or directory)" in failure
    assert failure in result["figures"]["energy_per_output_token_with_host_j"]["reasons"]
    assert not any("its meter failed" in r for r in result["figures"]["energy_total_j"]["reasons"])


def test_a_counter_that_wraps_in_the_window_gives_all_its_joules(
    library: Path, tmp_path: Path
) -> None:
    result = measured(library, tmp_path, GPU, ["nvml", "rapl"], range_uj=40_000_000, seconds=3.0)
    true_j = 50 * result["window_s"]  # more than three times the range
    assert abs(result["energy_host_j"] - true_j) <= result["energy_host_bound_j"] + 0.5


@pytest.mark.parametrize(
    ("event", "n_packages", "reason"),
    [
        ("unreadable", 1, "energy_uj: Too many levels of symbolic links)"),
        ("is reset", 1, "package-0: the energy counter fell in the window (it was reset)"),
        ("pauses", 1, "package-0: the energy counter was not updated at the start or end"),
        ("other package vanishes", 2, "package-1: its meter failed "),
    ],
)
def test_what_happens_to_a_counter_in_the_window_is_a_reason_and_no_part_of_the_joules_remains(
    library: Path, tmp_path: Path, event: str, n_packages: int, reason: str
) -> None:
    result = measured(
        library, tmp_path, GPU, ["nvml", "rapl"], event=event, n_packages=n_packages, seconds=4.0
    )
    assert result["energy_host_j"] is None and result["energy_host_bound_j"] is None
    quality = result["figures"]["energy_host_j"]
    assert quality["status"] == "missing"
    assert any(reason in each for each in quality["reasons"]), quality
    assert result["energy_total_j"] is not None


def test_a_counter_that_cannot_be_read_for_a_second_has_missed_nothing(
    library: Path, tmp_path: Path
) -> None:
    result = measured(library, tmp_path, GPU, ["nvml", "rapl"], event="comes back", seconds=4.0)
    off_j = abs(result["energy_host_j"] - 50 * result["window_s"])
    assert off_j <= result["energy_host_bound_j"] + 0.5
