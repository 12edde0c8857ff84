"""The schema for editors, the examples, the public names and the cost of importing them.

Covers CFG-26, and pitfall 39: reading a configuration imports only the libraries that it needs.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import llem_config
import llem_config.overrides
import llem_config.settings
from llem_config import (
    ConfigError,
    StudyConfig,
    load_experiment,
    load_study,
    study_json_schema,
)
from llem_config.overrides import parse_value

Load = Callable[..., StudyConfig]
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
TYPES = {"string", "integer", "number", "boolean", "array", "object", "null"}


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema inside a schema; `properties` itself is not a schema."""
    yield schema
    for key in ("properties", "$defs"):
        for child in schema.get(key, {}).values():
            yield from nodes(child)
    for child in schema.get("anyOf", []):
        yield from nodes(child)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key])


def test_the_schema_is_json_and_every_part_of_it_is_well_formed() -> None:
    schema = json.loads(json.dumps(study_json_schema()))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["type"] == "object"
    all_nodes = list(nodes(schema))
    assert len(all_nodes) > 200
    for node in all_nodes:
        assert node.get("type", "object") in TYPES
        assert isinstance(node.get("required", []), list)
        re.compile(node.get("pattern", ""))
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/$defs/") in schema["$defs"]
        if "enum" in node:
            assert node["enum"]


def test_the_schema_has_exactly_the_keys_of_a_study() -> None:
    schema = study_json_schema()
    assert schema["additionalProperties"] is False
    keys = set(schema["properties"])
    fields = set(llem_config.ExperimentConfig.model_fields) - {"paths"}  # no file may set it
    parts = {"name", "base", "sweep", "experiments", "exclude", "execution", "max_experiments"}
    assert {key for key in keys if "." not in key} == fields | parts
    assert {"decoder.temperature", "pytorch.batch_size", "decoder.preset"} <= keys
    assert "experiment_gap_seconds" in schema["$defs"]["ExecutionConfig"]["properties"]
    axis = schema["properties"]["sweep"]["properties"]["pytorch.batch_size"]
    assert axis["anyOf"][0]["type"] == "array"


def test_the_docstring_below_a_field_is_its_description() -> None:
    schema = study_json_schema()
    batch_size = "Number of prompts per call of `generate`; 1 by default."
    assert schema["properties"]["pytorch.batch_size"]["description"].startswith(batch_size)
    section = schema["$defs"]["PyTorchConfig"]["properties"]
    assert section["batch_size"]["description"].startswith(batch_size)
    assert schema["properties"]["n"]["description"].startswith("Number of prompts")
    for definition in ("ExecutionConfig", "WarmupConfig"):
        for name, field in schema["$defs"][definition]["properties"].items():
            assert field.get("description"), f"{definition}.{name}"


def test_the_schema_is_a_fresh_copy_each_time() -> None:
    study_json_schema()["properties"].clear()
    assert study_json_schema()["properties"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid(path: Path) -> None:
    study = load_study(path)
    assert study.experiments
    assert not study.skipped
    assert not study.n_duplicates


def test_the_examples_named_in_the_docs_exist() -> None:
    names = {path.name for path in EXAMPLES}
    assert {"experiment.yaml", "quickstart.yaml", "list.yaml", "gpu-sweep.yaml"} <= names
    (single,) = [path for path in EXAMPLES if path.name == "experiment.yaml"]
    assert load_experiment(single) == load_study(single).experiments[0]
    sizes = {path.name: len(load_study(path).experiments) for path in EXAMPLES}
    assert (sizes["quickstart.yaml"], sizes["list.yaml"], sizes["gpu-sweep.yaml"]) == (4, 4, 24)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_a_misspelt_key_in_an_example_is_reported(path: Path, tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("model: m\n")
    copy = tmp_path / "copy.yaml"
    copy.write_text(path.read_text() + "\nmax_input_token: 3\n")
    with pytest.raises(ConfigError, match="did you mean 'max_input_tokens'"):
        load_study(copy)


VALIDATOR = Draft202012Validator(study_json_schema())


def schema_accepts(text: str) -> bool:
    lines = "".join(f"  {line}" for line in text.splitlines(keepends=True))
    return VALIDATOR.is_valid(parse_value(f"\n{lines}"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_schema_accepts_every_example(path: Path) -> None:
    assert schema_accepts(path.read_text())


def test_the_schema_itself_is_valid() -> None:
    Draft202012Validator.check_schema(study_json_schema())


VALID = [
    "n: 3",
    "pytorch:",
    "dataset: synthetic",
    "dataset: {source: a/b, split: test}",
    "decoder: {preset: creative, temperature: 0.2}",
    "decoder.preset: factual",
    "backend: [pytorch, vllm]\nsweep: {vllm.block_size: [8, 16]}",
    "sweep: {backend: [pytorch, vllm]}",
    "sweep: {n: 3}",
    "sweep: {decoder: [{top_k: 3}, {preset: factual}]}",
    "sweep: {kind: [{pytorch.batch_size: 1}, {}]}",
    "sweep: {kind: {n: 3, precision: fp16}}",
    "sweep: {energy.sources: [[nvml], [none]]}",
    "energy.phases: [decode, prefill]",
    "sweep: {energy.phases: [[prefill], [prefill, decode]]}",
    "sweep: {passthrough_kwargs.a.b: [1, x]}",
    "passthrough_kwargs.a.b.c: 1",
    "pytorch: {device_map: auto}\npytorch.max_memory.0: 20GiB",
    "pytorch: {device_map: auto, max_memory: {0: 20GiB, cpu: 1 GB}}",
    "experiments: [{}, {n: 3, decoder.top_k: 2}]",
    "sweep: {n: [1, 2]}\nexclude: [{n: 1, precision: bf16}]",
    "sweep: {n: [1]}\nexclude: []",
    "execution: {experiment_gap_seconds: 3, cycle_order: shuffled}",
    "max_experiments: 20\nname: a-b.c",
    "random_seed: 0\npytorch.early_stopping: never\npytorch.num_beams: 2",
]


@pytest.mark.parametrize("text", VALID)
def test_the_schema_accepts_what_load_study_accepts(load: Load, text: str) -> None:
    text = f"model: m\n{text}\n"
    assert load(text).experiments
    assert schema_accepts(text)


BROKEN = [
    "n: eight",
    "n: 0",
    "n: true",
    "n:",
    "n: '3'",
    "random_seed: 4294967296",
    "decoder: 3",
    "decoder: {temprature: 1}",
    "decoder: {preset: hot}",
    "decoder.top_p: 1.5",
    "dataset: 7",
    "energy: {sources: nvml}",
    "energy: {sources: []}",
    "energy: {sources: [nvml, rappl]}",
    "precision: fp8",
    "percision: fp32",
    "sweeps: {n: [1]}",
    "pytorch.batchsize: 1",
    "n.x: 1",
    "lora: {merge_weights: true}",
    "pytorch: {max_memory: {0: much}}",
    "pytorch.max_memory.0: much",
    "sweep:",
    "sweep: {}",
    "sweep: {n: []}",
    "sweep: {n: [1, null]}",
    "sweep: {precison: [fp32]}",
    "sweep: {energy.sources: [nvml]}",
    "energy: {phases: prefill}",
    "energy: {phases: [prefill, prefill]}",
    "sweep: {energy.phases: [prefill]}",
    "sweep: {kind: [{n: 1}, 3]}",
    "sweep: {kind: [{backend: vllm}]}",
    "sweep: {kind: [{decoder.top_k: many}]}",
    "backend: pytroch",
    "backend: [vllm, trt]",
    "backend: []",
    "experiments:",
    "experiments: []",
    "experiments: [{n: 1}, null]",
    "exclude: [{n: 1}]",
    "sweep: {n: [1]}\nexclude: [{}]",
    "sweep: {n: [1]}\nexclude: [{precision: fp8}]",
    "execution:",
    "execution: {ncycles: 3}",
    "execution: {cycle_order: random}",
    "execution: {n_cycles: 0}",
    "execution: {config_gap_seconds: 1, experiment_gap_seconds: 2}",
    "max_experiments: many",
    "name: ../../etc",
    "base: [a]",
]

# (text, why a JSON schema cannot describe the mistake)
BEYOND_THE_SCHEMA = [
    ("n: 3.0", "to JSON, 3.0 is a whole number"),
    ("decoder: {temperature: .nan}", "JSON has no such number"),
    ("baseline: {duration_seconds: .nan}", "JSON has no such number"),
    ("model: builtin:tiny-llama\nweights: pretrained", "follows from another field's text"),
    ("passthrough_kwargs: {batch_size: 3}", "follows from the backend's fields"),
    ("pytorch: {batch_size: 1}\npytorch.batch_size: 2", "one field under two keys"),
    ("sweep: {decoder: [{top_k: 1}], decoder.top_k: [2]}", "one field under two axes"),
    ("vllm: {block_size: 8}", "the backend may be set in `base`"),
    ("sweep: {vllm.block_size: [1]}", "the backend may be set in `base`"),
    ("backend: [pytorch, vllm]\nexperiments: [{n: 1}]", "follows from another key"),
    ("decoder: {min_new_tokens: 500}", "compares two fields"),
    ("precision: fp32\nbackend: vllm", "no point can run, although each value is valid alone"),
    ("base: nowhere.yaml", "looks at the disk"),
    ("sweep: {n: [1, 2]}\nmax_experiments: 1", "counts a product"),
]


@pytest.mark.parametrize("text", BROKEN)
def test_the_schema_refuses_what_load_study_refuses(load: Load, text: str) -> None:
    text = f"model: m\n{text}\n"
    with pytest.raises(ConfigError):
        load(text)
    assert not schema_accepts(text)


@pytest.mark.parametrize(("text", "why"), BEYOND_THE_SCHEMA)
def test_the_schema_accepts_mistakes_that_it_cannot_describe(
    load: Load, text: str, why: str
) -> None:
    text = text if text.startswith("model") else f"model: m\n{text}"
    with pytest.raises(ConfigError):
        load(text)
    assert schema_accepts(text)
    assert why


def loaded_by(program: str) -> set[str]:
    """Return the top-level modules in a fresh process after a program has run."""
    program += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_loads_neither_torch_nor_the_terminal_nor_settings_libraries() -> None:
    loaded = loaded_by("import llem_config")
    assert "llem_config" in loaded
    heavy = {"torch", "transformers", "msgspec", "cyclopts", "rich", "pydantic_settings", "numpy"}
    assert not loaded & (heavy | {"platformdirs", "llem_runner", "llem_energy", "pynvml"})


@pytest.mark.parametrize(
    "module", [llem_config, llem_config.overrides, llem_config.settings], ids=lambda m: m.__name__
)
def test_the_public_names_are_complete_and_sorted(module: ModuleType) -> None:
    names = module.__all__
    constants = [name for name in names if name.isupper()]
    classes = [name for name in names if name[0].isupper() and not name.isupper()]
    rest = [name for name in names if name[0].islower()]
    assert names == sorted(constants) + sorted(classes) + sorted(rest)
    assert all(hasattr(module, name) for name in names)


def test_ten_thousand_points_are_expanded_once_each(load: Load) -> None:
    values = ", ".join(map(str, range(1, 11)))
    keys = ("n", "random_seed", "max_output_tokens", "pytorch.batch_size")
    study = load("model: m\nsweep:\n" + "".join(f"  {key}: [{values}]\n" for key in keys))
    assert len(study.experiments) == len(set(study.config_hashes)) == 10_000
