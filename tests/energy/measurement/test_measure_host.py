"""The joules of a processor are beside those of GPUs, and never replace them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from energy.parts import QUICK, with_gpus
from fakes.fake_nvml import FakeGpu, Fault
from fakes.powercap import add_domain

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
counter = Path(os.environ["LLEM_POWERCAP"]) / "intel-rapl:0" / "energy_uj"
gone = threading.Event()
def burn():
    start = time.perf_counter()
    while not gone.is_set():
        counter.with_suffix(".new").write_text(str(int(50e6 * (time.perf_counter() - start))))
        counter.with_suffix(".new").replace(counter)
        time.sleep(0.002)
if counter.exists():
    threading.Thread(target=burn, daemon=True).start()
def vanish():
    gone.set()
    time.sleep(0.1)
    shutil.rmtree(counter.parent)
def fail(stage):
    if stage == "window" and "RAPL_VANISHES" in os.environ:
        threading.Timer(1.5, vanish).start()
result = measure(ExperimentConfig.model_validate_json(sys.argv[1]), on_stage=fail)
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
    has_rapl: bool = True,
    rapl_vanishes: bool = False,
    seconds: float = 2.0,
) -> dict[str, Any]:
    """Measure a model that runs on a GPU, beside a processor that draws 50 W."""
    info = folder / "site" / "parrot-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    if has_rapl:
        add_domain(folder, "intel-rapl:0", "package-0", 0)
    config = {
        **{key: value for key, value in QUICK.items() if key != "pytorch"},
        "backend": "parrot", "parrot": {"device": "gpu"},
        "energy": {"sources": sources, "min_window_seconds": seconds},
    }  # fmt: skip
    text = json.dumps(config)
    env = {"LLEM_POWERCAP": str(folder), "PYTHONPATH": f"{info.parent}{os.pathsep}{EXAMPLE}"}
    if rapl_vanishes:
        env["RAPL_VANISHES"] = "1"
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
    result = measured(library, tmp_path, GPU, ["nvml", "rapl"], has_rapl=False)
    assert result["energy_total_j"] is not None
    assert result["energy_host_j"] is None
    quality = result["figures"]["energy_host_j"]
    assert quality["status"] == "missing"
    assert "no energy counters below" in quality["reasons"][0]
    assert not any("counters below" in warning for warning in result["measurement_warnings"])


def test_a_counter_that_vanishes_in_the_window_leaves_the_gpus_and_no_joules_of_its_own(
    library: Path, tmp_path: Path
) -> None:
    result = measured(library, tmp_path, GPU, ["nvml", "rapl"], rapl_vanishes=True, seconds=6.0)
    assert result["energy_total_j"] == pytest.approx(200 * result["window_s"], rel=0.05)
    assert result["energy_host_j"] is None
    assert result["energy_per_output_token_with_host_j"] is None
    quality = result["figures"]["energy_host_j"]
    assert quality["status"] == "missing"
    (failure,) = [reason for reason in quality["reasons"] if "its meter failed" in reason]
    assert failure.startswith("package-0: its meter failed ")
    assert failure in result["figures"]["energy_per_output_token_with_host_j"]["reasons"]
    assert not any("its meter failed" in r for r in result["figures"]["energy_total_j"]["reasons"])
