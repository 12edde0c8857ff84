"""Options of the loader that `passthrough_kwargs` may not have, because something decides them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from llem_config import ExperimentConfig

Faults = Callable[..., list[str]]
MODEL = "model: builtin:tiny-llama\n"
AT = "study.yaml:2:21: passthrough_kwargs: "
FOLDER = "give a model folder with this config.json as `model`"


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("torch_dtype", "set precision"),
        ("dtype", "set precision"),
        ("seed", "set random_seed"),
        ("max_new_tokens", "set max_output_tokens"),
        ("temperature", "set decoder.temperature"),
        ("top_k", "set decoder.top_k"),
        ("quantization_config", "set pytorch.load_in_4bit or pytorch.load_in_8bit"),
        ("use_flash_attention_2", "set pytorch.attn_implementation"),
        ("config", FOLDER),
        ("state_dict", "give a model folder with these weights as `model`"),
        ("local_files_only", "set the environment variable HF_HUB_OFFLINE"),
        ("cache_dir", "set the environment variable HF_HUB_CACHE"),
        ("output_loading_info", "remove it, because llem sets it to check what was loaded"),
    ],
)
def test_what_a_field_or_the_loader_decides_is_a_mistake_with_what_to_use(
    faults: Faults, name: str, instead: str
) -> None:
    assert faults(f"{MODEL}passthrough_kwargs: {{{name}: 1}}\n") == [
        f"{AT}may not have {name}; {instead}"
    ]


@pytest.mark.parametrize(
    "name", ["attn_implementation", "device", "device_map", "revision", "use_cache", "precision"]
)
def test_a_field_is_not_repeated(faults: Faults, name: str) -> None:
    assert faults(f"{MODEL}passthrough_kwargs: {{{name}: 1}}\n") == [
        f"{AT}may not repeat the field {name}; set the field itself"
    ]


ARCHITECTURE = """
num_hidden_layers n_layer n_head n_embd hidden_size intermediate_size vocab_size head_dim d_model
num_attention_heads num_key_value_heads num_experts num_local_experts num_experts_per_tok d_ff
n_routed_experts moe_intermediate_size kv_lora_rank q_lora_rank qk_rope_head_dim v_head_dim
encoder_layers decoder_layers decoder_ffn_dim state_size conv_kernel max_position_embeddings
attention_bias text_config index_n_heads mamba_n_heads linear_num_key_heads num_experts_per_token
mlp_layer_types layers_block_type first_k_dense_replace sliding_window_pattern attn_layer_period
sliding_window layer_types tie_word_embeddings is_encoder_decoder word_embed_proj_dim
""".split()  # noqa: SIM905  # a table of names


@pytest.mark.parametrize("name", ARCHITECTURE)
def test_what_changes_the_architecture_needs_a_model_folder(faults: Faults, name: str) -> None:
    (fault,) = faults(f"{MODEL}passthrough_kwargs.{name}: 1\n")
    assert fault.endswith(f"may not have {name}, which changes the architecture; {FOLDER}")


def test_all_wrong_options_are_in_one_message(faults: Faults) -> None:
    (fault,) = faults(f"{MODEL}passthrough_kwargs: {{dtype: float16, hidden_size: 8, ok: 1}}\n")
    assert "may not have dtype; set precision; it may not have hidden_size, which" in fault
    assert " ok" not in fault


@pytest.mark.parametrize("name", ["hf_token", "api_key"])
def test_a_password_is_not_written_in_a_file(faults: Faults, name: str) -> None:
    (fault,) = faults(f"{MODEL}passthrough_kwargs: {{{name}: secret}}\n")
    assert f"{name} may not be written in a file; set the environment variable HF_TOKEN" in fault


@pytest.mark.parametrize(
    "name", ["rope_scaling", "experts_implementation", "variant", "low_cpu_mem_usage", "x"]
)
def test_other_options_reach_the_loader(name: str) -> None:
    config = ExperimentConfig(model="m", passthrough_kwargs={name: 1})
    assert config.passthrough_kwargs == {name: 1}


def test_another_backend_has_options_of_its_own() -> None:
    config = ExperimentConfig(
        model="m", backend="vllm", passthrough_kwargs={"swap_space": 1, "num_gpu_blocks": 2}
    )
    assert config.passthrough_kwargs == {"swap_space": 1, "num_gpu_blocks": 2}
    with pytest.raises(ValueError, match="may not have dtype; set precision"):
        ExperimentConfig(model="m", backend="vllm", passthrough_kwargs={"dtype": "half"})
