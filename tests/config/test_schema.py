"""The schema for editors, the examples, the front door and what it costs to open it.

Covers CFG-26, and pitfall 39: reading a configuration loads no other library than it needs.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import llem_config
from llem_config import ConfigError, StudyConfig, load_experiment, load_study, study_json_schema

Load = Callable[..., StudyConfig]
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
TYPES = {"string", "integer", "number", "boolean", "array", "object", "null"}


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema inside a schema; `properties` maps names, it is no schema itself."""
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
    found = list(nodes(schema))
    assert len(found) > 200
    for node in found:
        assert node.get("type", "object") in TYPES
        assert isinstance(node.get("required", []), list)
        re.compile(node.get("pattern", ""))
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/$defs/") in schema["$defs"]
        if "enum" in node:
            assert node["enum"]


def test_the_schema_knows_every_key_of_a_study_and_nothing_else() -> None:
    schema = study_json_schema()
    assert schema["additionalProperties"] is False
    keys = set(schema["properties"])
    fields = set(llem_config.ExperimentConfig.model_fields)
    parts = {"name", "base", "sweep", "experiments", "exclude", "execution", "max_experiments"}
    assert {key for key in keys if "." not in key} == fields | parts
    assert {"decoder.temperature", "pytorch.batch_size", "decoder.preset"} <= keys
    assert "experiment_gap_seconds" in schema["$defs"]["ExecutionConfig"]["properties"]
    axis = schema["properties"]["sweep"]["properties"]["pytorch.batch_size"]
    assert axis["anyOf"][0]["type"] == "array"


def test_the_schema_is_a_fresh_copy_each_time() -> None:
    study_json_schema()["properties"].clear()
    assert study_json_schema()["properties"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid_and_knows_no_unknown_key(path: Path) -> None:
    study = load_study(path)
    assert study.experiments
    assert not study.skipped
    assert not study.n_duplicates


def test_the_examples_are_the_ones_that_the_documents_speak_of() -> None:
    names = {path.name for path in EXAMPLES}
    assert {"experiment.yaml", "quickstart.yaml", "list.yaml", "gpu-sweep.yaml"} <= names
    (single,) = [path for path in EXAMPLES if path.name == "experiment.yaml"]
    assert load_experiment(single) == load_study(single).experiments[0]
    sizes = {path.name: len(load_study(path).experiments) for path in EXAMPLES}
    assert (sizes["quickstart.yaml"], sizes["list.yaml"], sizes["gpu-sweep.yaml"]) == (4, 4, 24)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_a_misspelt_key_in_an_example_is_found(path: Path, tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("model: m\n")
    copy = tmp_path / "copy.yaml"
    copy.write_text(path.read_text() + "\nmax_input_token: 3\n")
    with pytest.raises(ConfigError, match="did you mean 'max_input_tokens'"):
        load_study(copy)


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


def test_the_front_door_is_complete_and_sorted() -> None:
    names = llem_config.__all__
    constants = [name for name in names if name.isupper()]
    classes = [name for name in names if name[0].isupper() and not name.isupper()]
    rest = [name for name in names if name[0].islower()]
    assert names == sorted(constants) + sorted(classes) + sorted(rest)
    assert all(hasattr(llem_config, name) for name in names)


def test_ten_thousand_points_are_expanded_each_once(load: Load) -> None:
    values = ", ".join(map(str, range(1, 11)))
    keys = ("n", "random_seed", "max_output_tokens", "pytorch.batch_size")
    study = load("model: m\nsweep:\n" + "".join(f"  {key}: [{values}]\n" for key in keys))
    assert len(study.experiments) == len(set(study.config_hashes)) == 10_000
