"""Wrong values in a config.json are one sentence each; those of real models pass."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from energy.models import SMALL_ARCHITECTURE
from energy.parts import checked, experiment

from llem_energy._backends.pytorch.library_source import causal_model_types
from llem_energy._model_info.config_file import config_problems
from llem_energy.models import estimate_memory
from llem_energy.preflight import check_files

LLAMA: dict[str, Any] = {**SMALL_ARCHITECTURE, "model_type": "llama"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"num_hidden_layers": -1}, "num_hidden_layers: expected a whole number from 1 to 10,000"),
        ({"num_hidden_layers": 10**8}, "from 1 to 10,000, found 100000000"),
        ({"num_hidden_layers": 10**400}, "found a number of more than 30 digits"),
        ({"vocab_size": None}, "vocab_size: expected a whole number from 1 to 100,000,000, found null"),
        ({"vocab_size": True}, "found true"),
        ({"hidden_size": "48"}, "hidden_size: expected a whole number from 1 to 10,000,000, found '48'"),
        ({"hidden_size": float("nan")}, "found nan"),
        ({"hidden_size": 50}, "hidden_size: expected a multiple of num_attention_heads (6), found 50"),
        ({"num_attention_heads": 0}, "num_attention_heads: expected a whole number from 1, found 0"),
        ({"num_key_value_heads": 4}, "num_key_value_heads: expected a divisor of 6, found 4"),
        ({"model_type": 5}, "model_type: expected text, found 5"),
        ({"model_type": ["llama"]}, "model_type: expected text, found a list"),
        ({"model_type": {}}, "model_type: expected text, found an object"),
        ({"architectures": "LlamaForCausalLM"}, "architectures: expected a list of names"),
        ({"auto_map": "own.Own"}, "auto_map: expected an object, found 'own.Own'"),
        ({"text_config": {"num_hidden_layers": 0}}, "text_config.num_hidden_layers: expected"),
        ({"text_config": 5}, "text_config: expected an object, found a number"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_value_is_reported_with_its_key_and_estimates_nothing(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(LLAMA | changes))
    config = experiment(model=str(tmp_path), weights="random")
    (finding,) = check_files([config])
    assert finding.message.startswith(f"{file}: ")
    assert expected in finding.message
    assert finding.message.endswith("correct the file")
    assert finding in checked(config).problems
    assert estimate_memory(config) is None


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "huge", "broken link"])
def test_a_file_of_a_model_that_is_no_file_is_named_and_never_read(
    tmp_path: Path, name: str, kind: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    path = tmp_path / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(2**41)  # sparse
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "nowhere")
    config = experiment(model=str(tmp_path), weights="random")
    messages = [finding.message for finding in check_files([config])]
    assert all(str(path) in message for message in messages)
    is_read = name != "tokenizer.json" or kind not in ("folder", "huge")  # only text needs it
    assert len(messages) == int(is_read)
    assert name != "config.json" or estimate_memory(config) is None


@pytest.mark.timeout(30)
def test_a_chat_template_below_the_folder_that_is_a_pipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "additional_chat_templates").mkdir()
    path = tmp_path / "additional_chat_templates" / "tool_use.jinja"
    os.mkfifo(path)
    (finding,) = check_files([experiment(model=str(tmp_path), weights="random")])
    assert finding.message.startswith(f"{path}: expected a regular file, found a named pipe")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "chat_template.jinja"])
def test_a_huge_file_of_a_tokenizer_is_named_if_a_text_needs_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    with (tmp_path / name).open("wb") as file:
        file.truncate(2**41)  # sparse
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    dataset = {"source": str(tmp_path / "prompts.jsonl")}
    config = experiment(model=str(tmp_path), weights="random", dataset=dataset)
    messages = [finding.message for finding in check_files([config])]
    assert any(message.startswith(f"{tmp_path / name}: expected at most") for message in messages)


def test_the_defaults_of_every_causal_model_of_the_library_pass() -> None:
    import transformers

    n_checked, refused = 0, []
    for model_type in transformers.CONFIG_MAPPING:
        try:
            data = transformers.CONFIG_MAPPING[model_type]().to_dict()
        except Exception:  # noqa: BLE001  # some need arguments or other packages
            continue
        n_checked += 1
        if config_problems(json.loads(json.dumps(data, default=str))):
            refused.append(model_type)
    assert n_checked > 300
    # Models of proteins and sound whose vocabulary has no default, and two that are refused anyway.
    assert set(refused) <= {"esm", "lxmert", "rag", "wav2vec2-bert", "wav2vec2-conformer"}
    assert not set(refused) & set(causal_model_types() or ())
