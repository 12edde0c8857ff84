"""Facts that depend on the options of a backend come from the backend and are never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from energy.parts import experiment, run_python

from llem_config import ExperimentConfig
from llem_energy.backends import MemoryLayout, ModelRef, facts_of
from llem_energy.models import estimate_memory

UNKNOWN = {
    "vllm": {"max_num_seqs": 64},
    "tensorrt": {"max_batch_size": 64},
}


def of_other_backend(name: str) -> ExperimentConfig:
    """Return an experiment of a backend that has a section but no facts."""
    data = {"model": "builtin:llama-1b", "backend": name, name: UNKNOWN[name]}
    return ExperimentConfig.model_validate(data)


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_backend_without_facts_has_no_memory_estimate(name: str) -> None:
    config = of_other_backend(name)
    assert estimate_memory(config) is None
    same_model = experiment(model="builtin:llama-1b")
    assert estimate_memory(same_model) is not None


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_backend_without_facts_does_not_say_where_it_runs(name: str) -> None:
    config, facts = of_other_backend(name), facts_of(name)
    assert facts.device(config) is None
    assert facts.spreads_over_gpus(config) is None
    assert facts.models(config) == (ModelRef("builtin:llama-1b"),)
    assert [*facts.requirements(config, has_gpu=False), *facts.warnings(config)] == []


@pytest.mark.parametrize(
    ("options", "device"),
    [({"device": "cpu"}, "cpu"), ({"device": "cuda"}, "gpu"), ({"device": "auto"}, "auto"),
     ({"device": None}, "auto")],
)  # fmt: skip
def test_pytorch_runs_where_its_option_says(options: dict[str, Any], device: str) -> None:
    assert facts_of("pytorch").device(experiment(pytorch=options)) == device


def test_pytorch_reads_a_revision_of_the_model_and_a_draft_model() -> None:
    options = {"revision": "v2", "assistant_model": "some/draft", "batch_size": 1}
    config = experiment(model="some/model", weights="pretrained", pytorch=options)
    models = (ModelRef("some/model", "v2"), ModelRef("some/draft"))
    assert facts_of("pytorch").models(config) == models


def test_pytorch_holds_the_model_in_memory_as_its_options_say() -> None:
    facts = facts_of("pytorch")
    options = {"batch_size": 8, "num_beams": 3, "attn_implementation": "eager"}
    beams = experiment(pytorch=options)
    assert facts.memory(beams) == MemoryLayout(
        max_batch_prompts=8, sequences_per_prompt=3, stores_attention_scores=True
    )
    packed = experiment(pytorch={"load_in_8bit": True, "cache_implementation": "static"})
    assert facts.memory(packed) == MemoryLayout(
        max_batch_prompts=2, bytes_per_matrix_weight=1.0, cache="preallocated"
    )
    without_cache = facts.memory(experiment(pytorch={"use_cache": False}))
    assert isinstance(without_cache, MemoryLayout)
    assert without_cache.cache == "none"


ASK = """
import sys
from llem_energy import BackendError
from llem_energy.backends import facts_of
try:
    print(facts_of("broken"))
except BackendError as error:
    print(error)
"""


def install_broken(site: Path, name: str, module: str) -> None:
    """Put a package with a backend and its facts into a folder, as an installer would."""
    metadata = site / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        f"[llem.backends]\n{name} = broken_facts:Backend\n"
        f"[llem.backend_facts]\n{name} = broken_facts:Facts\n"
    )
    (site / "broken_facts.py").write_text(module)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("Facts = dict", "expected BackendFacts, found dict"),
        ("Facts = 3", "TypeError: 'int' object is not callable"),
    ],
)
def test_facts_that_cannot_be_used_are_an_error_that_names_the_package(
    tmp_path: Path, module: str, reason: str
) -> None:
    install_broken(tmp_path, "broken", module)
    line = run_python(ASK, env={"PYTHONPATH": str(tmp_path)}).strip()
    start = "the facts of the backend broken (package broken) cannot be used: "
    assert line == start + reason


MEASURE = """
from llem_config import ExperimentConfig
from llem_energy import BackendError, measure
try:
    measure(ExperimentConfig(model="builtin:tiny-llama", backend="vllm"))
except BackendError as error:
    print(error)
"""


def test_broken_facts_stop_a_measurement_before_the_backend_is_opened(tmp_path: Path) -> None:
    module = "Facts = 3\ndef Backend(config): raise AssertionError('it was opened')\n"
    install_broken(tmp_path, "vllm", module)
    line = run_python(MEASURE, env={"PYTHONPATH": str(tmp_path)}).strip()
    assert line.startswith("the facts of the backend vllm (package broken) cannot be used: ")
