"""Facts that depend on the options of a backend come from the backend and are never guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from energy.parts import experiment, run_python

from llem_config import ExperimentConfig
from llem_energy import BackendError
from llem_energy._backends.checked_facts import CheckedFacts
from llem_energy.backends import BackendFacts, MemoryLayout, ModelRef, facts_of
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


def faulty(error: BaseException) -> BackendFacts:
    """Return facts that raise an error from every method, two of them after the first sentence."""

    def sentences(*_: object, **__: object) -> Iterator[str]:
        yield "a sentence"
        raise error

    def fails(*_: object, **__: object) -> None:
        raise error

    methods = {
        name: sentences if name in ("requirements", "warnings") else fails for name in QUESTIONS
    }
    facts: BackendFacts = type("Facts", (BackendFacts,), dict(methods))()
    return facts


QUESTIONS: dict[str, Callable[[BackendFacts], object]] = {
    "requirements": lambda facts: facts.requirements(experiment(), has_gpu=False),
    "device": lambda facts: facts.device(experiment()),
    "first_studies": lambda facts: facts.first_studies(1),
    "spreads_over_gpus": lambda facts: facts.spreads_over_gpus(experiment()),
    "models": lambda facts: facts.models(experiment()),
    "memory": lambda facts: facts.memory(experiment()),
    "warnings": lambda facts: facts.warnings(experiment()),
    "file_problems": lambda facts: facts.file_problems(experiment()),
    "files_read": lambda facts: facts.files_read(experiment()),
    "parts": lambda facts: facts.parts(experiment()),
    "chat_problems": lambda facts: facts.chat_problems(experiment(), ()),
    "large_packages": lambda facts: facts.large_packages(),
}


def test_every_fact_is_checked_and_none_is_replaced_by_its_default() -> None:
    public = {name for name in vars(BackendFacts) if not name.startswith("_")}
    assert public == set(QUESTIONS)
    assert public <= set(vars(CheckedFacts))
    assert "torch" in facts_of("pytorch").large_packages()


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("error", [RuntimeError("no driver"), SystemExit("no driver")])
def test_facts_that_raise_are_an_error_with_the_package(
    question: str, error: BaseException
) -> None:
    facts = CheckedFacts(faulty(error), lambda problem: f"the package other: {problem}")
    kind = type(error).__name__
    with pytest.raises(BackendError, match=rf"other: {question}\(\) failed with {kind}: no driver"):
        QUESTIONS[question](facts)


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("requirements", "a text", "expected a list of sentences, found the text 'a text'"),
        ("warnings", [1], "expected str, found 1"),
        ("device", "cuda", "expected one of None, 'auto', 'gpu', 'cpu', found 'cuda'"),
        ("spreads_over_gpus", "yes", "expected one of None, True, False, found 'yes'"),
        ("first_studies", [1], "expected FirstStudy, found 1"),
        ("models", ("a/b",), "expected ModelRef, found 'a/b'"),
        ("models", (), "expected at least the main model, found no model"),
        ("memory", 7, "expected a layout, found 7"),
        ("parts", None, "expected LoadedParts, found None"),
        ("large_packages", "torch", "found the text 'torch'"),
    ],
)
def test_an_answer_of_a_wrong_type_is_an_error(
    question: str, answer: object, expected: str
) -> None:
    facts = type("Facts", (BackendFacts,), {question: lambda *_, **__: answer})()
    with pytest.raises(BackendError, match=re.escape(expected)):
        QUESTIONS[question](CheckedFacts(facts, str))


FAILING = """
import json, sys
import llem_parrot._facts as parrot
from llem_config import ExperimentConfig
from llem_energy import OutOfMemory, measure

def fails(*_):
    raise RuntimeError("no licence")

for name in sys.argv[2].split():
    setattr(parrot.ParrotFacts, name, fails)
config = ExperimentConfig.model_validate_json(sys.argv[1])
result = measure(config)
print(json.dumps([result.output_tokens, result.memory_estimate is None,
                  [w for w in result.measurement_warnings if "llem-parrot" in w]]))

import llem_parrot._backend as backend

def full(*_):
    raise OutOfMemory("the memory is full")

backend.ParrotBackend.generate = full
try:
    measure(config)
except OutOfMemory as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.parametrize("methods", ["warnings", "memory", "warnings memory device"])
def test_facts_that_fail_are_warnings_of_the_result_and_lose_no_measurement(
    installed: dict[str, str], methods: str
) -> None:
    config = {
        "backend": "parrot", "model": "builtin:tiny-llama", "precision": "fp32", "n": 3,
        "max_input_tokens": 12, "max_output_tokens": 6, "parrot": {"memory": 4},
        "warmup": {"n_warmup": 1, "convergence_detection": False},
        "baseline": {"enabled": False}, "energy": {"min_window_seconds": 0.0},
    }  # fmt: skip
    lines = run_python(FAILING, json.dumps(config), methods, env=installed).splitlines()
    (n_tokens, no_estimate, warnings), full = map(json.loads, lines)
    assert n_tokens == 18
    assert no_estimate is ("memory" in methods)
    start = "the facts of the backend parrot (package llem-parrot) cannot be used: "
    expected = {name for name in ("warnings", "memory") if name in methods}
    assert set(warnings) == {
        f"{start}{name}() failed with RuntimeError: no licence" for name in expected
    }
    # The reason why a run failed is not replaced by an error of the facts.
    assert full.startswith("the memory is full; peak unknown")
