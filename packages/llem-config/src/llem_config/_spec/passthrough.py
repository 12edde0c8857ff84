"""Which options of a loader `passthrough_kwargs` may not have, and what to use instead.

transformers applies an option that its loader does not know to the model's configuration. Such an
option could change the architecture, or repeat what a field of a study decides, and the memory
estimate and the result would not show it.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from llem_config._spec.other_names import OTHER_KEYS

_BY_LOADER = {
    "config": "give a model folder with this config.json as `model`",
    "state_dict": "give a model folder with these weights as `model`",
    "pretrained_model_name_or_path": "set model",
    "subfolder": "give the folder itself as `model`",
    "gguf_file": "llem cannot estimate or check a GGUF file; give a model folder",
    "local_files_only": "set the environment variable HF_HUB_OFFLINE",
    "cache_dir": "set the environment variable HF_HUB_CACHE",
    "force_download": "delete the model from the cache",
    "resume_download": "remove it, because a download always continues",
    "proxies": "set the environment variable HTTPS_PROXY",
    "output_loading_info": "remove it, because llem sets it to check what was loaded",
    "ignore_mismatched_sizes": "remove it, because weights that do not fit would be random",
    "from_tf": "convert the model to safetensors",
    "from_flax": "convert the model to safetensors",
    "device": "set pytorch.device",
    "tp_plan": "set pytorch.device_map",
    "padding_side": "remove it, because generation needs padding on the left",
}
_ARCHITECTURE = re.compile(
    r"is_decoder|is_encoder_decoder|layer_types|tie_word_embeddings|sliding_window|use_sliding_window"
    r"|n_embd|n_inner|d_model|d_ff|d_kv|n_positions|n_ctx|max_position_embeddings"
    r"|([a-z_]+_)?(num|n|max)_[a-z_]*(layers?|heads?|experts?|groups?|blocks?)(_per_tok(en)?)?"
    r"|(text|vision|audio|encoder|decoder|attn|ffn|moe|[a-z_]+_encoder|[a-z_]+_decoder)_config"
    r"|[a-z_]*(layer_types|layers_block_type|block_types|attention_types|layer_ids|mlp_only_layers)"
    r"|[a-z_]*(layer_period|layer_offset|dense_replace|sparse_step|window_pattern|window_size)"
    r"|([a-z_]+_)?bias|add_cross_attention|topk_group|(text|audio)_encoder"
    r"|(encoder|decoder|draft)_(layers|attention_heads|ffn_dim)"
    r"|[a-z_]*(hidden|intermediate|vocab|embedding|state|head|ffn|inner|conv|latent|expert|model"
    r"|key|value|time_step|lora)_(size|dim|rank|width|kernel)"
    r"|[a-z_]+_(dim|rank)|head_dim|hidden_dim|dim|expand|moe_[a-z_]+|[a-z_]*d_(state|conv|head)"
)
"""Names of sizes in the configurations of transformers' models."""

_FOR_EVERY_BACKEND = ("dtype", "torch_dtype", "seed", "max_new_tokens", "max_tokens")


def passthrough_problem(name: str, backend: str, fields: Collection[str]) -> str | None:
    """Return what to do instead of passing an option to the loader; None if it may be passed.

    Args:
        name: of the option; a dotted key counts by its first part.
        backend: whose loader gets it.
        fields: the dotted keys of an experiment.
    """
    name = name.split(".")[0]
    same = [key for key in fields if key.rpartition(".")[2] == name and _applies(key, backend)]
    if name in fields or f"{backend}.{name}" in fields:
        return f"may not repeat the field {name}; set the field itself"
    if backend != "pytorch" and name not in _FOR_EVERY_BACKEND:
        return None  # another backend has options of its own, with the same names
    if name in _BY_LOADER:
        return f"may not have {name}; {_BY_LOADER[name]}"
    keys = [key for key in OTHER_KEYS.get(name, ()) if _applies(key, backend)]
    if keys := keys or same:
        return f"may not have {name}; set {' or '.join(keys)}"
    if _ARCHITECTURE.fullmatch(name):
        return (
            f"may not have {name}, which changes the architecture; give a model folder with this "
            "config.json as `model`"
        )
    return None


def _applies(key: str, backend: str) -> bool:
    section = key.partition(".")[0]
    return "." not in key or section not in ("pytorch", "vllm", "tensorrt") or section == backend
