"""The weights that run are those in the files: a difference is a warning or a refusal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from energy.parts import experiment, loaded

from llem_config import ExperimentConfig
from llem_energy import BackendError, measure
from llem_energy.preflight import check_files


def of(folder: Path, **changes: Any) -> ExperimentConfig:
    return experiment(model=str(folder), weights="pretrained", **changes)


def warnings_of(config: ExperimentConfig) -> tuple[str, ...]:
    found: tuple[str, ...] = loaded(config).warnings()
    return found


@pytest.fixture
def copy(text_model: Any, tmp_path: Path) -> Path:
    """Return a copy of the text model's folder that a test may change."""
    return Path(shutil.copytree(text_model.folder, tmp_path / "model"))


def configure(folder: Path, **changes: Any) -> None:
    data = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(data | changes))


def tensors(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def store(folder: Path, weights: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_layer_in_the_files_that_the_configuration_leaves_out_is_refused(copy: Path) -> None:
    import torch

    from llem_energy._backends.pytorch.loading import load_model

    weights = tensors(copy)
    n_unused = sum(w.numel() for name, w in weights.items() if ".layers.1." in name)
    n_stored = sum(w.numel() for w in weights.values())
    configure(copy, num_hidden_layers=1)
    (finding,) = check_files([of(copy)])
    assert finding.message == (
        f"model {str(copy)!r} cannot be loaded: config.json has 1 layer, so {n_unused:,} of "
        f"{n_stored:,} weights ({n_unused / n_stored:.1%}) in its files are not used, e.g. "
        "'model.layers.1.input_layernorm.weight'; correct config.json"
    )
    expected = rf"{n_unused:,} of {n_stored:,} weights .* are not used, e\.g\. model\.layers\.1\."
    with pytest.raises(BackendError, match=expected):
        load_model(of(copy), torch.device("cpu"))


def test_a_few_unused_weights_are_a_warning_in_the_result(copy: Path) -> None:
    import torch

    n_stored = sum(w.numel() for w in tensors(copy).values())
    biases = {f"model.layers.0.self_attn.{name}_proj.bias": torch.ones(32) for name in "qo"}
    store(copy, tensors(copy) | biases)
    result = measure(of(copy))
    (warning,) = (w for w in result.measurement_warnings if "not used" in w)
    share = 64 / (n_stored + 64)
    assert warning == (
        f"64 of {n_stored + 64:,} weights ({share:.1%}) in the files of model {str(copy)!r} are not "
        "used, e.g. model.layers.0.self_attn.o_proj.bias"
    )


def test_unused_experts_are_counted_although_the_library_joins_them(tmp_path: Path) -> None:
    import torch
    import transformers

    from llem_energy._backends.pytorch.loading import load_model

    torch.manual_seed(0)
    shape = transformers.MixtralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, num_local_experts=4,
    )  # fmt: skip
    transformers.MixtralForCausalLM(shape).save_pretrained(tmp_path)
    configure(tmp_path, num_hidden_layers=1)
    n_unused = sum(w.numel() for name, w in tensors(tmp_path).items() if ".layers.1." in name)
    with pytest.raises(BackendError, match=rf"^[^0-9]*{n_unused:,} of "):
        load_model(of(tmp_path), torch.device("cpu"))


def test_constants_that_older_files_store_cause_no_warning(copy: Path) -> None:
    import torch

    constants = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
        "model.layers.0.attn.bias": torch.ones(1, 1, 64, 64),
        "model.layers.0.attn.masked_bias": torch.tensor(-1e9),
        "model.embeddings.position_ids": torch.arange(8),
    }
    store(copy, tensors(copy) | constants)
    assert warnings_of(of(copy)) == ()


def test_a_second_copy_of_tied_weights_causes_no_warning_unless_it_differs(copy: Path) -> None:
    weights = tensors(copy)
    configure(copy, tie_word_embeddings=True)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    store(copy, weights)
    assert warnings_of(of(copy)) == ()
    weights["lm_head.weight"] += 1
    store(copy, weights)
    (warning,) = warnings_of(of(copy))
    assert "hold different values for both" in warning


def test_weights_of_another_shape_are_refused_with_both_shapes(copy: Path) -> None:
    import torch

    from llem_energy._backends.pytorch.loading import load_model

    configure(copy, vocab_size=60)
    (finding,) = check_files([of(copy)])
    assert "vocab_size 60, but 'model.embed_tokens.weight' in its files has 44" in finding.message
    with pytest.raises(
        BackendError, match=r"lm_head.weight has the shape \(44, 32\), expected \(60, 32\)"
    ):
        load_model(of(copy), torch.device("cpu"))


def test_a_complete_model_and_random_weights_cause_no_warning(text_model: Any) -> None:
    assert warnings_of(of(text_model.folder)) == ()
    assert warnings_of(experiment()) == ()
