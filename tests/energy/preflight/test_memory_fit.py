"""Too little memory is reported before a run and in the failure of a run (CM-16)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from energy.models import SMALL_ARCHITECTURE
from energy.parts import experiment, run_python, with_gpus
from fakes.fake_nvml import FakeGpu

from llem_config import ExperimentConfig, Settings
from llem_energy.preflight import Machine, check

_LIMITED = """
import json, resource, sys
import torch, transformers.generation.utils
from llem_config import ExperimentConfig
from llem_energy import OutOfMemory, measure
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 10**9, used + 10**9))
errors = []
for text in sys.argv[1:]:
    try:
        measure(ExperimentConfig.model_validate_json(text))
    except OutOfMemory as error:
        errors.append([type(error).__name__, str(error)])
print(json.dumps(errors))
"""
_FITS = """
import json, sys
from llem_config import ExperimentConfig
from llem_energy.preflight import check, find_machine
experiments = [ExperimentConfig.model_validate(data) for data in json.loads(sys.argv[1])]
report = check(experiments, find_machine())
print(json.dumps([[[finding.message, finding.points] for finding in findings]
                  for findings in (report.problems, report.warnings)]))
"""
GB = 10**9


@pytest.mark.skipif(sys.platform != "linux", reason="limits its own memory")
def test_too_little_memory_is_a_clear_failure_with_estimate_and_peak(
    tmp_path: Path,
) -> None:
    data = SMALL_ARCHITECTURE | {"model_type": "llama", "vocab_size": 50_000_000}
    (tmp_path / "config.json").write_text(json.dumps(data))
    weights = experiment(model=str(tmp_path), weights="random")
    answer = experiment(
        n=4, max_input_tokens=4096, pytorch={"batch_size": 4, "attn_implementation": "eager"}
    )
    # One process for both, since most of the time goes into importing torch.
    arguments = [config.model_dump_json() for config in (weights, answer)]
    (kind, loading), (same_kind, answering) = json.loads(run_python(_LIMITED, *arguments))
    assert kind == same_kind == "OutOfMemory"
    assert "cannot be loaded: " in loading
    assert "allocate memory: you tried to allocate 9600000000 bytes" in loading
    assert "estimated 20 GB (weights 19.2 GB, cache 16.9 kB, activations 800 MB)" in loading
    assert answering.startswith("generation failed: ")
    # 4 prompts x 8 heads x 4096 x 4096 scores, in two copies of 4 bytes.
    assert "activations 4.63 GB" in answering
    for text in (loading, answering):
        assert "; peak " in text
        assert ", the device has " in text


def fits(
    library: Path, folder: Path, points: list[dict[str, Any]], visible: str | None = None
) -> list[list[tuple[str, list[int]]]]:
    """Return problems and warnings on a machine with a GPU of 8 GB and one of 16 GB."""
    gpus = [FakeGpu(uuid="GPU-small", memory_bytes=8 * GB), FakeGpu(memory_bytes=16 * GB)]
    env = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    report: list[list[tuple[str, list[int]]]] = with_gpus(
        _FITS, library, gpus, folder, json.dumps(points), env=env
    )
    return report


def point(name: str, **pytorch: Any) -> dict[str, Any]:
    return {
        "model": f"builtin:{name}", "n": 500, "pytorch": pytorch, "energy": {"sources": ["none"]},
    }  # fmt: skip


def test_weights_larger_than_the_largest_visible_gpu_are_a_problem(
    library: Path, tmp_path: Path
) -> None:
    small, large = point("llama-1b"), point("llama-8b")
    assert fits(library, tmp_path, [small]) == [[], []]
    ((failure, points),), warnings = fits(library, tmp_path, [small, large, {**large, "n": 9}])
    assert failure == (
        "builtin:llama-8b in bf16 needs 16.1 GB for its weights alone, but the device has 16 GB"
    )
    assert points == [1, 2]
    assert warnings == []
    packed = point("llama-8b", load_in_4bit=True, device="cuda")
    problems, _ = fits(library, tmp_path, [packed])
    assert not any("weights alone" in message for message, _ in problems)


def test_weights_spread_over_all_gpus_are_compared_with_all_their_memory(
    library: Path, tmp_path: Path
) -> None:
    spread = point("llama-8b", device_map="auto")
    assert fits(library, tmp_path, [point("llama-1b"), spread]) == [[], []]


def test_memory_that_may_not_be_enough_is_a_warning_with_its_parts(
    library: Path, tmp_path: Path
) -> None:
    points = [point("llama-1b"), point("llama-1b", batch_size=400)]
    failures, ((warning, indices),) = fits(library, tmp_path, points, "GPU-small")
    assert failures == []
    assert indices == [1]
    assert warning.startswith("the memory may be too small: the estimate is up to ")
    assert "(weights 2.47 GB, cache 8.38 GB, activations " in warning
    assert warning.endswith("the device has 8 GB")


def on_cpu(*configs: ExperimentConfig, memory_bytes: int) -> list[str]:
    """Return every problem and warning about memory on a machine without a GPU."""
    report = check(configs, Machine(settings=Settings(), host_memory_bytes=memory_bytes))
    messages = [finding.message for finding in (*report.problems, *report.warnings)]
    return [message for message in messages if "the device has" in message]


def test_on_the_cpu_the_limit_is_the_memory_of_the_machine(tmp_path: Path) -> None:
    data = SMALL_ARCHITECTURE | {"model_type": "llama", "vocab_size": 10**7}
    (tmp_path / "config.json").write_text(json.dumps(data))
    large = experiment(model=str(tmp_path), weights="random")
    (failure,) = on_cpu(experiment(), large, memory_bytes=GB)
    assert failure.startswith(f"{tmp_path} in fp32 needs 3.84 GB for its weights alone")
    assert on_cpu(experiment(), large, memory_bytes=8 * GB) == []


def test_memory_of_unknown_models_and_unknown_devices_is_not_compared() -> None:
    absent = experiment(model="someone/not-here", weights="pretrained")
    vllm = ExperimentConfig(model="builtin:llama-8b", backend="vllm")
    assert on_cpu(absent, vllm, memory_bytes=1) == []
    assert len(on_cpu(experiment(), memory_bytes=1)) == 1
