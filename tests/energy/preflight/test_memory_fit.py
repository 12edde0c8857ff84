"""Memory that will not be enough is told before, and said clearly when it was not (issue 5, item 8)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from energy.model_info.test_memory_estimate import SMALL
from energy.parts import experiment, run_python, with_gpus
from fakes.fake_nvml import FakeGpu

from llem_energy import memory_obstacles

_LIMITED = """
import json, resource, sys
import torch, transformers.generation.utils
from llem_config import ExperimentConfig
from llem_energy import OutOfMemory, measure
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 10**9, used + 10**9))
said = []
for text in sys.argv[1:]:
    try:
        measure(ExperimentConfig.model_validate_json(text))
    except OutOfMemory as error:
        said.append([type(error).__name__, str(error)])
print(json.dumps(said))
"""
_FITS = """
import json, os, sys
from llem_config import ExperimentConfig
from llem_energy import gpu_uuids, memory_obstacles
made = [ExperimentConfig.model_validate(one) for one in json.loads(sys.argv[1])]
print(json.dumps(memory_obstacles(made, gpu_uuids()[:int(sys.argv[2])])))
"""
GB = 10**9


@pytest.mark.skipif(sys.platform != "linux", reason="limits its own memory")
def test_too_little_memory_is_a_clear_failure_with_the_estimate_beside_the_peak(
    tmp_path: Path,
) -> None:
    data = SMALL | {"model_type": "llama", "vocab_size": 50_000_000}
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
    # 4 prompts x 8 heads x 4096 x 4096 scores, twice 4 bytes each.
    assert "activations 4.63 GB" in answering
    for text in (loading, answering):
        assert "; peak " in text
        assert ", the device has " in text


def fits(library: Path, folder: Path, n_visible: int, *points: dict[str, Any]) -> list[list[str]]:
    gpus = [FakeGpu(uuid="GPU-small", memory_bytes=8 * GB), FakeGpu(memory_bytes=16 * GB)]
    found: list[list[str]] = with_gpus(
        _FITS, library, gpus, folder, json.dumps(points), str(n_visible)
    )
    return found


def point(name: str, **pytorch: Any) -> dict[str, Any]:
    return {"model": f"builtin:{name}", "n": 500, "pytorch": pytorch}


def test_only_weights_larger_than_the_device_are_sure_not_to_fit(
    library: Path, tmp_path: Path
) -> None:
    small, large = point("llama-1b"), point("llama-8b")
    assert fits(library, tmp_path, 2, small) == [[], []]
    (failure,), warnings = fits(library, tmp_path, 2, small, large, {**large, "n": 9})
    assert failure == (
        "builtin:llama-8b in bf16 needs 16.1 GB for its weights alone, but the device has 16 GB"
    )
    assert warnings == []
    # Spread over both GPUs, or in 4 bits.
    assert fits(library, tmp_path, 2, point("llama-8b", device_map="auto")) == [[], []]
    assert fits(library, tmp_path, 2, point("llama-8b", load_in_4bit=True)) == [[], []]


def test_what_may_not_fit_is_a_warning_with_its_parts(library: Path, tmp_path: Path) -> None:
    failures, (warning,) = fits(
        library, tmp_path, 1, point("llama-1b"), point("llama-1b", batch_size=400)
    )
    assert failures == []
    assert warning.startswith("1 of 2 points may not fit into memory: the estimate is up to ")
    assert "(weights 2.47 GB, cache 8.38 GB, activations " in warning
    assert warning.endswith("the device has 8 GB")


def test_on_the_processor_the_memory_of_the_machine_counts(tmp_path: Path) -> None:
    data = SMALL | {"model_type": "llama", "vocab_size": 10**13}
    (tmp_path / "config.json").write_text(json.dumps(data))
    large = experiment(model=str(tmp_path), weights="random")
    (failure,), warnings = memory_obstacles([experiment(), large], ())
    assert failure.startswith(f"{tmp_path} in fp32 needs 3.84e+06 GB for its weights alone")
    assert warnings == []


@pytest.mark.parametrize("model", ["someone/not-here", "builtin:tiny-llama"])
def test_an_unknown_model_and_one_that_fits_stop_nothing(model: str) -> None:
    weights = "random" if model.startswith("builtin") else "pretrained"
    assert memory_obstacles([experiment(model=model, weights=weights)], ()) == ([], [])
