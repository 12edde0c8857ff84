"""The bytes of a loaded model, against a count by hand of its tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from energy.models import random_model
from energy.parts import experiment, loaded
from torch.testing._internal.two_tensor import TwoTensor

from llem_energy._backends.pytorch.traffic import stored_bytes, traffic_of

# tiny-llama in fp32: 4 layers, width 128, 8 heads and 4 key-value heads of 16, feed-forward 384.
ATTENTION = 128 * (128 + 64 + 64) + 128 * 128
DENSE = 4 * (ATTENTION + 3 * 128 * 384 + 2 * 128) + 128
TABLE = 4096 * 128
SMALL: dict[str, Any] = {
    "vocab_size": 256, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
# tiny-moe: the same width with 8 experts of 96, a router, and norms of queries and keys.
SPARSE = 4 * (ATTENTION + 8 * 128 + 2 * 128 + 2 * 16) + 128
EXPERTS = 4 * 8 * 3 * 128 * 96


def traffic(**changes: Any) -> Any:
    return traffic_of(loaded(experiment(**changes))._model)


def test_a_tied_table_of_embeddings_is_read_as_the_output_layer() -> None:
    sizes = traffic()
    assert sizes.step_bytes == 4 * (DENSE + TABLE)
    assert (sizes.expert_bytes, sizes.n_experts) == (0, 0)


def test_key_value_heads_decide_the_bytes_of_the_cache() -> None:
    assert traffic().cache_bytes == 2 * 4 * 16 * 4
    assert traffic(precision="bf16").cache_bytes == 2 * 4 * 16 * 2


def test_one_head_for_all_queries_is_one_head_in_the_cache(tmp_path: Path) -> None:
    """The configuration of this type does not name the heads of keys and values."""
    shape = {"model_type": "falcon", "multi_query": True, "new_decoder_architecture": False}
    (tmp_path / "config.json").write_text(json.dumps(SMALL | shape))
    assert traffic(model=str(tmp_path), weights="random").cache_bytes == 2 * 8 * 4


def test_an_encoder_of_images_is_not_read(tmp_path: Path) -> None:
    text: dict[str, Any] = SMALL | {"num_key_value_heads": 2, "head_dim": 8}
    images = SMALL | {"image_size": 28, "patch_size": 14}
    shape = {"text_config": text, "vision_config": images, "mm_tokens_per_image": 4}
    for name, fields in (("both", {"model_type": "gemma3"} | shape), ("text", text)):
        (tmp_path / name).mkdir()
        fields = {"model_type": "gemma3_text"} | fields
        (tmp_path / name / "config.json").write_text(json.dumps(fields))
    both, alone = (
        traffic(model=str(tmp_path / name), weights="random") for name in ("both", "text")
    )
    assert both == alone


def test_packed_weights_that_are_no_parameters_are_not_guessed() -> None:
    model = loaded(experiment())._model
    model.model.layers[0].mlp = Packed()
    assert traffic_of(model) is None


class Packed(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """A feed-forward part as GPTQ stores it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("qweight", torch.zeros(16, 128, dtype=torch.int32))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


def test_a_tensor_of_tensors_has_the_bytes_of_both() -> None:
    packed = TwoTensor(torch.zeros(4, 4), torch.zeros(4, 4))
    assert stored_bytes(packed) == 2 * 16 * 4


def test_half_the_precision_is_half_the_bytes() -> None:
    full, half = traffic(), traffic(precision="bf16")
    assert full.step_bytes == 2 * half.step_bytes
    assert full.activation_bytes == 2 * half.activation_bytes


def test_activations_are_inputs_and_outputs_of_the_matrices() -> None:
    attention = (128 + 128) + 2 * (128 + 64) + (128 + 128)
    feed_forward = 3 * (128 + 384)
    assert traffic().activation_bytes == 4 * 4 * (attention + feed_forward)


def test_experts_are_apart_from_what_every_step_reads() -> None:
    sizes = traffic(model="builtin:tiny-moe")
    assert sizes.step_bytes == 4 * (SPARSE + TABLE)
    assert sizes.expert_bytes == 4 * EXPERTS
    assert (sizes.n_experts, sizes.n_experts_per_token) == (8, 2)


def test_a_table_of_embeddings_that_is_only_looked_up_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "tied").mkdir()
    (tmp_path / "own").mkdir()
    both: dict[str, Any] = {"model_type": "llama"}
    tied = traffic(**random_model(tmp_path / "tied", **both, tie_word_embeddings=True))
    own = traffic(**random_model(tmp_path / "own", **both, tie_word_embeddings=False))
    assert tied.step_bytes == own.step_bytes


def test_windows_are_those_of_the_layers(tmp_path: Path) -> None:
    kinds = ["sliding_attention", "full_attention"]
    model = random_model(tmp_path, model_type="gemma3_text", sliding_window=6, layer_types=kinds)
    assert traffic(**model).windows == (6, None)


def test_positions_of_gpt2_are_looked_up_too(tmp_path: Path) -> None:
    shape = {"model_type": "gpt2", "n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 64}
    layer = 32 * 96 + 96 + 32 * 32 + 32 + 32 * 128 + 128 + 128 * 32 + 32 + 4 * 32
    sizes = traffic(**random_model(tmp_path, **shape))
    assert sizes.step_bytes == 4 * (2 * layer + 2 * 32 + 256 * 32)
    assert sizes.activation_bytes == 4 * 2 * (128 + 64 + 160 + 160)


@pytest.mark.parametrize("name", ["lfm2", "mamba2"])
def test_an_unknown_architecture_has_no_count_of_bytes(tmp_path: Path, name: str) -> None:
    shapes: dict[str, Any] = {
        "lfm2": {"layer_types": ["conv", "full_attention"]},
        "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1, "expand": 2},
    }
    assert traffic(**random_model(tmp_path, model_type=name, **shapes[name])) is None
