"""Small experiments, and processes that see a fake driver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu

from llem_config import ExperimentConfig, Settings
from llem_energy.preflight import Machine, PreflightReport, check


def merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Return `low` updated with `high`; nested mappings are merged."""
    both = dict(low)
    for key, value in high.items():
        old = both.get(key)
        deep = isinstance(old, Mapping) and isinstance(value, Mapping)
        both[key] = merged(old, value) if deep else value  # type: ignore[arg-type]
    return both


QUICK: dict[str, Any] = {
    "model": "builtin:tiny-llama",
    "precision": "fp32",
    "n": 3,
    "max_input_tokens": 8,
    "max_output_tokens": 4,
    "warmup": {"n_warmup": 1, "convergence_detection": False},
    "baseline": {"enabled": False},
    "energy": {"min_window_seconds": 0.0},
    "pytorch": {"device": "cpu", "batch_size": 2},
}


def experiment(**changes: Any) -> ExperimentConfig:
    """Return an experiment that takes a fraction of a second on a CPU."""
    return ExperimentConfig.model_validate(merged(QUICK, changes))


def checked(*configs: ExperimentConfig) -> PreflightReport:
    """Return the pre-flight report of experiments on a machine without a GPU."""
    return check(configs, Machine(settings=Settings()))


def run_python(program: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run a program in a new process and return its output."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_gpus(
    program: str,
    library: Path,
    gpus: Sequence[FakeGpu],
    folder: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
) -> Any:
    """Run a program that sees only these GPUs, and return the JSON that it prints."""
    trace = folder / "gpus.trace"
    fake_nvml.write_trace(trace, gpus)
    driver = fake_nvml.environment(library, trace)
    return json.loads(run_python(program, *arguments, env=driver | dict(env or {})))


def loaded(config: ExperimentConfig) -> Any:
    """Return the real PyTorch backend of an experiment with its model loaded."""
    from llem_energy._backends.pytorch.backend import (
        PyTorchBackend,  # imports torch, which takes seconds
    )

    backend = PyTorchBackend(config)
    backend.open()
    backend.load()
    return backend


def answers(config: ExperimentConfig) -> list[tuple[list[int], list[int]]]:
    """Return (token counts, tokens of the first prompt) of every batch of an experiment."""
    from llem_energy._prompts.load import load_prompts

    backend = loaded(config)
    workload = backend.prepare(load_prompts(config, backend.vocabulary()))
    backend.seed()
    generated = [backend.generate(batch) for batch in workload.batches]
    return [(list(answer.n_tokens()), answer._ids[0].tolist()) for answer in generated]
