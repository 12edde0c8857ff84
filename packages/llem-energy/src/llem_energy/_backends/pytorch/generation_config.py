"""The arguments of `generate` that an experiment stands for."""

from __future__ import annotations

from typing import Any

import transformers

from llem_config import ExperimentConfig
from llem_energy._backends.pytorch.padding import valid_pad_id
from llem_energy._backends.pytorch.section import section


def generation_config(config: ExperimentConfig, model: Any) -> Any:
    """Return the `GenerationConfig` of an experiment; of the model's own only the token ids count."""
    decoder, options = config.decoder, section(config)
    model_defaults = model.generation_config
    ends = model_defaults.eos_token_id
    end_ids = [ends] if isinstance(ends, int) else list(ends or ())
    arguments: dict[str, Any] = {
        "max_new_tokens": config.max_output_tokens,
        "do_sample": decoder.do_sample,
        "eos_token_id": None if decoder.ignore_eos else end_ids or None,
        "pad_token_id": valid_pad_id(model, model_defaults.pad_token_id, end_ids),
        "bos_token_id": model_defaults.bos_token_id,
        "min_new_tokens": decoder.min_new_tokens,
        "repetition_penalty": decoder.repetition_penalty,
        "num_beams": options.num_beams,
        "early_stopping": options.early_stopping,
        "length_penalty": options.length_penalty,
        "no_repeat_ngram_size": options.no_repeat_ngram_size,
        "use_cache": options.use_cache,
        "cache_implementation": options.cache_implementation,
        "prompt_lookup_num_tokens": options.prompt_lookup_num_tokens,
        # With a static cache on a GPU, transformers compiles by default. A model that is already
        # compiled would then be compiled twice.
        "disable_compile": None if options.torch_compile is None else True,
        # The output then contains the cache; this costs nothing.
        "return_dict_in_generate": True,
    }
    if decoder.do_sample:
        # 0 and 1 mean "no limit"; the library's default is the top 50.
        arguments |= {
            "temperature": decoder.temperature,
            "top_k": decoder.top_k or 0,
            "top_p": decoder.top_p or 1.0,
            "min_p": decoder.min_p,
        }
    given = {key: value for key, value in arguments.items() if value is not None}
    return transformers.GenerationConfig(**given)
