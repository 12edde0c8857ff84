"""Our incompatible combinations are those that transformers refuses or ignores (CFG-08).

The tests call the library directly, without our validation, so that a change of its behaviour in
an upgrade is detected.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest

from llem_config import ExperimentConfig


@pytest.fixture(scope="module")
def model() -> Any:
    import torch
    import transformers

    torch.manual_seed(0)
    shape = {
        "vocab_size": 256,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    config = transformers.AutoConfig.for_model("llama", **shape)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    model.generation_config = transformers.GenerationConfig()
    return model


def generate(model: Any, batch_size: int, options: dict[str, Any]) -> None:
    import torch
    import transformers

    ids = torch.arange(8, 14).repeat(batch_size, 1)
    arguments = transformers.GenerationConfig(max_new_tokens=4, pad_token_id=0, **options)
    model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=arguments)


def is_incompatible(section: dict[str, Any]) -> bool:
    from pydantic import ValidationError

    try:
        ExperimentConfig.model_validate({"model": "a/b", "pytorch": section})
    except ValidationError as error:
        return {item["type"] for item in error.errors()} == {"llem_incompatible"}
    return False


LOOKUP = {"prompt_lookup_num_tokens": 2}


@pytest.mark.parametrize(
    ("batch_size", "options"),
    [
        (2, LOOKUP),
        (1, {**LOOKUP, "cache_implementation": "static"}),
        (1, {**LOOKUP, "use_cache": False}),
    ],
)
def test_options_that_transformers_refuses_are_incompatible(
    model: Any, batch_size: int, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="assisted generate"):
        generate(model, batch_size, options)
    assert is_incompatible({**options, "batch_size": batch_size})


@pytest.mark.parametrize(
    "options",
    [
        {**LOOKUP, "num_beams": 2},
        {"cache_implementation": "static", "use_cache": False},
        {"early_stopping": True},
    ],
)
def test_options_that_transformers_ignores_are_incompatible(
    model: Any,
    options: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers.utils import logging as transformers_logging

    # An earlier test in this process may have silenced the library, or have seen the warning, which
    # some versions give once.
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    transformers_logging.warning_once.cache_clear()
    with caplog.at_level(logging.WARNING), caplog.at_level(logging.WARNING, "transformers"):
        generate(model, 1, options)
    assert any("generat" in record.message for record in caplog.records)
    assert is_incompatible(options)


@pytest.mark.parametrize("cache", ["offloaded", "offloaded_static"])
def test_an_offloaded_cache_on_the_cpu_is_incompatible(cache: str) -> None:
    assert is_incompatible({"cache_implementation": cache, "device": "cpu"})
    assert not is_incompatible({"cache_implementation": cache, "device": "cuda"})


@pytest.mark.parametrize(
    "options",
    [
        LOOKUP,
        {**LOOKUP, "batch_size": 1},
        {"num_beams": 2, "early_stopping": True},
        {"num_beams": 2, "cache_implementation": "static"},
        {"cache_implementation": "static"},
    ],
)
def test_options_that_transformers_accepts_are_compatible(
    model: Any, options: dict[str, Any]
) -> None:
    assert not is_incompatible(options)
    generate(model, 1, {key: value for key, value in options.items() if key != "batch_size"})


def test_a_mode_that_another_compiler_ignores_is_incompatible(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import torch

    options = {"torch_compile": True, "torch_compile_mode": "max-autotune"}
    # Not every version of torch passes its messages to the root logger.
    logger = logging.getLogger("torch._dynamo.backends.debugging")
    logger.addHandler(caplog.handler)
    try:
        torch.compile(lambda x: x + 1, mode="max-autotune", backend="eager")(torch.zeros(2))
    finally:
        logger.removeHandler(caplog.handler)
    assert "ignoring extra kwargs" in caplog.text
    assert is_incompatible({**options, "torch_compile_backend": "eager"})
    assert not is_incompatible({**options, "torch_compile_backend": "inductor"})
    assert not is_incompatible(options)
