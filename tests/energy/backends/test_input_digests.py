"""A digest covers the files that a run loads, by content; other files do not change it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from energy.parts import experiment

from llem_config import ExperimentConfig, load_study
from llem_energy._backends.input_digests import changed_inputs
from llem_energy.models import InputDigest, damaged_files, digest_inputs

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files of a model; their content does not matter here."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "generation_config.json", "tokenizer.json", WEIGHTS):
        (folder / name).write_text(f'{{"file": "{name}"}}')
    return folder


def of(model: Path | str, **changes: Any) -> ExperimentConfig:
    fields = {"weights": "pretrained"} if "weights" not in changes else {}
    return experiment(model=str(model), **fields, **changes)


def digest(config: ExperimentConfig) -> tuple[InputDigest, ...]:
    return digest_inputs([config])[0]


def names(config: ExperimentConfig) -> list[str]:
    return [file.name for file in digest(config)[0].files]


def test_weights_configuration_and_tokenizer_are_covered(folder: Path) -> None:
    (model,) = digest(of(folder))
    assert (model.role, model.name, model.revision) == ("model", str(folder), None)
    assert [file.name for file in model.files] == [
        *("config.json", "generation_config.json", WEIGHTS, "tokenizer.json"),
    ]
    assert all(file.sha256 and file.n_bytes for file in model.files)


@pytest.mark.parametrize(
    "name", ["config.json", "generation_config.json", "tokenizer.json", WEIGHTS]
)
def test_each_of_these_files_changes_the_digest(folder: Path, name: str) -> None:
    (before,) = digest(of(folder))
    text = (folder / name).read_text()
    (folder / name).write_text(text.replace("file", "File"))  # of the same size
    (after,) = digest(of(folder))
    assert after.sha256 != before.sha256
    assert [f.name for f in after.files if f not in before.files] == [name]


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "LICENSE.txt", "model.fp16.safetensors", "consolidated.safetensors"),
        *("pytorch_model.bin", "trainer_state.json", "modeling_own.py", "checkpoint/model.bin"),
    ],
)
def test_a_file_that_is_not_loaded_does_not_change_the_digest(folder: Path, name: str) -> None:
    before = digest(of(folder))
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("more")
    assert digest(of(folder)) == before


def test_the_name_and_place_of_the_folder_do_not_change_the_digest(folder: Path) -> None:
    other = Path(shutil.copytree(folder, folder.with_name("other")))
    assert digest(of(folder))[0].sha256 == digest(of(other))[0].sha256


def test_two_models_under_the_same_relative_path_have_different_digests(
    folder: Path, tmp_path: Path
) -> None:
    """They have the same hash, which is one of the request."""
    digests = set()
    configs = []
    for name in ("first", "second"):
        shutil.copytree(folder, tmp_path / name / "model")
        (tmp_path / name / "model" / WEIGHTS).write_text(name)
        (tmp_path / name / "study.yaml").write_text("model: ./model\n")
        study = load_study(tmp_path / name / "study.yaml")
        configs += [*study.config_hashes]
        (model,) = digest(study.experiments[0])
        assert model.name == "./model"
        digests.add(model.sha256)
    assert len(set(configs)) == 1
    assert len(digests) == 2


def test_every_shard_and_the_index_are_covered(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for shard in shards:
        (folder / shard).write_text(shard)
    index = {"weight_map": {"a": shards[0], "b": shards[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-00003-of-00003.safetensors").write_text("not in the index")
    covered = names(of(folder))
    assert [n for n in covered if n.startswith("model")] == [
        *shards,
        "model.safetensors.index.json",
    ]


def test_the_options_of_the_backend_select_the_files(folder: Path) -> None:
    for name in ("pytorch_model.bin", "model.fp16.safetensors", "own.py"):
        (folder / name).write_text(name)
    pickled = names(of(folder, pytorch={"use_safetensors": False}))
    assert "pytorch_model.bin" in pickled
    assert WEIGHTS not in pickled
    half = names(of(folder, passthrough_kwargs={"variant": "fp16"}))
    assert "model.fp16.safetensors" in half
    assert WEIGHTS not in half
    assert "own.py" in names(of(folder, pytorch={"trust_remote_code": True}))
    assert WEIGHTS not in names(of(folder, weights="random"))
    assert "config.json" in names(of(folder, weights="random"))


def test_a_draft_model_and_an_adapter_have_digests_of_their_own(
    folder: Path, tmp_path: Path
) -> None:
    draft = Path(shutil.copytree(folder, tmp_path / "draft"))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors", "README.md"):
        (adapter / name).write_text(name)
    options = {"assistant_model": str(draft), "batch_size": 1}
    inputs = digest(of(folder, pytorch=options, lora={"adapter": str(adapter)}))
    assert [(each.role, each.name) for each in inputs] == [
        ("model", str(folder)),
        ("draft model", str(draft)),
        ("adapter", str(adapter)),
    ]
    assert [file.name for file in inputs[2].files] == [
        *("adapter_config.json", "adapter_model.safetensors"),
    ]


def test_a_data_set_is_covered_if_it_is_a_file_or_a_folder(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.csv").write_text("prompt\nhello\n")
    (data / ".hidden").write_text("")
    for source in (data, data / "train.csv"):
        _, dataset = digest(of(folder, dataset=str(source)))
        assert (dataset.role, dataset.name) == ("data set", str(source))
        assert [file.name for file in dataset.files] == ["train.csv"]
    before = dataset.sha256
    (data / "train.csv").write_text("prompt\nhallo\n")
    assert digest(of(folder, dataset=str(data / "train.csv")))[1].sha256 != before


def test_a_builtin_model_has_the_digest_of_its_architecture() -> None:
    tiny, large = (digest(experiment(model=f"builtin:{n}"))[0] for n in ("tiny-llama", "llama-1b"))
    assert tiny.sha256 is not None
    assert tiny.files == ()
    assert tiny.sha256 != large.sha256


def test_a_model_that_is_not_on_this_machine_has_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (model,) = digest(of("some/model"))
    assert (model.sha256, model.files) == (None, ())


def test_a_model_of_the_hub_is_covered_and_a_damaged_download_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--some--model"
    snapshot, blob = repository / "snapshots" / ("1" * 40), repository / "blobs" / ("a" * 64)
    for path in (snapshot, blob.parent, repository / "refs"):
        path.mkdir(parents=True)
    (repository / "refs" / "main").write_text("1" * 40)
    (snapshot / "config.json").write_text("{}")
    blob.write_text("not what the hub states")
    (snapshot / WEIGHTS).symlink_to(os.path.relpath(blob, snapshot))
    inputs = digest(of("some/model"))
    assert [file.name for file in inputs[0].files] == ["config.json", WEIGHTS]
    assert damaged_files(inputs) == (
        "model.safetensors of the model some/model is damaged: its SHA-256 is not the one that "
        "the hub states; download the model again",
    )


def test_pipes_in_the_folder_are_not_read(folder: Path) -> None:
    for name in ("tokenizer_config.json", "vocab.txt"):
        os.mkfifo(folder / name)
    files = {file.name: file.sha256 for file in digest(of(folder))[0].files}
    assert files["vocab.txt"] is files["tokenizer_config.json"] is None
    assert files[WEIGHTS] is not None


def test_points_that_read_the_same_files_have_equal_digests(folder: Path) -> None:
    first, second, random = digest_inputs(
        [of(folder), of(folder, n=7), of(folder, weights="random")]
    )
    assert first == second
    assert first != random


def test_the_file_of_a_chat_template_is_covered(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("prompt\nhello\n")
    template = tmp_path / "chat.jinja"
    template.write_text("{{ messages }}")
    dataset = {"source": str(tmp_path / "data.csv"), "chat_template": str(template)}
    *_, before = digest(of(folder, dataset=dataset))
    assert (before.role, before.name) == ("chat template", str(template))
    assert [file.name for file in before.files] == ["chat.jinja"]
    assert before.files[0].sha256 == hashlib.sha256(b"{{ messages }}").hexdigest()
    template.write_text("{{ messages[0] }}")
    *_, after = digest(of(folder, dataset=dataset))
    assert changed_inputs([before], [after]) == [f"chat.jinja of the chat template {template}"]
    for value in ("auto", "none"):
        roles = [e.role for e in digest(of(folder, dataset={**dataset, "chat_template": value}))]
        assert roles == ["model", "data set"]
