"""Calls the fake NVIDIA driver through the real binding, in a new process each time.

The process is new because the loader reads `LD_LIBRARY_PATH` only once, and because the binding
keeps the library that it has loaded.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu

OTHER_UUID = "GPU-00000000-0000-0000-0000-000000000002"
GPU_IS_LOST = 15
NOT_SUPPORTED = 3

# Evaluates a list of Python expressions and prints the values as JSON; for an NVML error its name.
PROBE = """
import ctypes, json, sys, time
from pynvml import *

fake = ctypes.CDLL("libnvidia-ml.so.1")
fake.fake_nvml_set_time.argtypes = [ctypes.c_double]
fake.fake_nvml_set_time.restype = None
fake.fake_nvml_now.restype = ctypes.c_double
fake.fake_nvml_true_energy.argtypes = [ctypes.c_uint, ctypes.c_double, ctypes.c_double]
fake.fake_nvml_true_energy.restype = ctypes.c_double
fake.fake_nvml_calls.restype = ctypes.c_ulong

now = fake.fake_nvml_now
truth = fake.fake_nvml_true_energy
at = fake.fake_nvml_set_time
gpu = nvmlDeviceGetHandleByIndex

def calls(function):
    return fake.fake_nvml_calls(function.encode())

def energy(t_s, index=0):
    at(t_s)
    return nvmlDeviceGetTotalEnergyConsumption(gpu(index))

def fields(t_s, *ids, index=0):
    at(t_s)
    values = nvmlDeviceGetFieldValues(gpu(index), ids)
    is_wide = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
    return [
        f"error {f.nvmlReturn}" if f.nvmlReturn
        else f.value.ullVal if f.valueType == is_wide else f.value.uiVal
        for f in values
    ]

def ring(t_s, last_seen_us=0, index=0):
    at(t_s)
    kind, samples = nvmlDeviceGetSamples(gpu(index), NVML_TOTAL_POWER_SAMPLES, last_seen_us)
    assert kind == NVML_VALUE_TYPE_UNSIGNED_INT
    return [[sample.timeStamp, sample.sampleValue.uiVal] for sample in samples]

def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start

answers = []
for expression in json.load(sys.stdin):
    try:
        answers.append(eval(expression))
    except NVMLError as error:
        answers.append(type(error).__name__)
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Rig:
    """Evaluates expressions in a new process that sees the fake GPUs and no others."""

    library: Path
    trace: Path
    extra: dict[str, str] = field(default_factory=dict)

    def run(self, expressions: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Evaluate the expressions on the trace as it is on disk."""
        return subprocess.run(
            [sys.executable, "-c", PROBE],
            input=json.dumps(expressions),
            env=os.environ | fake_nvml.environment(self.library, self.trace) | self.extra,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ask(self, gpus: Sequence[FakeGpu] | FakeGpu, *expressions: str) -> list[Any]:
        """Write the trace, initialise NVML and return the value of each expression."""
        fake_nvml.write_trace(self.trace, [gpus] if isinstance(gpus, FakeGpu) else gpus)
        done = self.run(["nvmlInit()", *expressions])
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        answers: list[Any] = json.loads(done.stdout)
        assert answers[0] is None, "init failed"
        return answers[1:]


def energies(times_s: Sequence[float]) -> list[str]:
    """Return the expressions that read the energy counter at these times."""
    return [f"energy({t_s!r})" for t_s in times_s]
