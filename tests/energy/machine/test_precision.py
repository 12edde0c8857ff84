"""Which type of 16 bits a machine computes in hardware."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu, Fault

from llem_energy.preflight import half_precision

SCRIPT = """
import json
from llem_energy.preflight import find_machine, half_precision
from llem_config import Settings
gpus = find_machine(Settings()).visible_gpus
print(json.dumps([len(gpus), half_precision(gpus)]))
"""


def on_gpus(library: Path, folder: Path, *gpus: FakeGpu) -> tuple[int, str | None]:
    trace = folder / "gpus.trace"
    fake_nvml.write_trace(trace, gpus)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | fake_nvml.environment(library, trace),
        capture_output=True,
        text=True,
        check=True,
    )
    n_gpus, precision = json.loads(done.stdout)
    return n_gpus, precision


def test_a_gpu_of_capability_9_computes_bf16(library: Path, tmp_path: Path) -> None:
    assert on_gpus(library, tmp_path, FakeGpu()) == (1, "bf16")


def test_a_gpu_that_reports_no_capability_is_unknown(library: Path, tmp_path: Path) -> None:
    other = FakeGpu(uuid="GPU-2", faults=(Fault("nvmlDeviceGetCudaComputeCapability", 3),))
    assert on_gpus(library, tmp_path, FakeGpu(), other) == (2, None)


def test_a_cpu_has_bf16_if_the_kernel_lists_it() -> None:
    listed = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    if "flags" not in listed and "Features" not in listed:
        pytest.skip("the kernel lists no instruction sets")
    has_bf16 = any(word in listed.split() for word in ("avx512_bf16", "amx_bf16", "bf16"))
    assert half_precision(()) == ("bf16" if has_bf16 else None)
