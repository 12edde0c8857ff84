"""A small model whose tokenizer was trained here and has a chat template, and data sets for it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from energy.parts import experiment

from llem_config import ExperimentConfig

TEMPLATE = """{{ bos_token }}{% for message in messages %}\
{%- if message['role'] not in ['system', 'user', 'assistant', 'tool'] -%}\
{{ raise_exception('unknown role ' + message['role']) }}{%- endif -%}
<|{{ message['role'] }}|>{{ message['content'] | trim }}{{ eos_token }}{% endfor %}
{%- for tool in tools or [] %}<|tools|>{{ tool['name'] }}{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""
TEXTS = ("Why is the sky blue?", "Write a poem about the sea.", "Add 2 and 3.", "Hello!")


class ChatModel(NamedTuple):
    """A small random Llama in a folder, with a tokenizer."""

    folder: Path
    tokenizer: Any


def chat_model(folder: Path, template: Any = TEMPLATE) -> ChatModel:
    """Write a model and return it. Its tokenizer adds `<s>` to text, as Llama's does."""
    import tokenizers
    import torch
    import transformers
    from tokenizers.processors import TemplateProcessing

    special = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>", "<|tool|>"]
    text = tokenizers.Tokenizer(tokenizers.models.BPE())
    text.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    text.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text.train_from_iterator(TEXTS * 10, trainer)
    text.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=text, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        chat_template=template,
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(5)
    transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=text.get_vocab_size(), hidden_size=32, intermediate_size=64,
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        )
    ).save_pretrained(folder)  # fmt: skip
    return ChatModel(folder, transformers.AutoTokenizer.from_pretrained(folder))


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write a JSON lines file and return its path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def chat_experiment(model: Path, data: Path, **changes: Any) -> ExperimentConfig:
    """Return an experiment over a data set; `dataset` adds to its section."""
    dataset = {"source": str(data)} | changes.pop("dataset", {})
    base: dict[str, Any] = {
        "model": str(model),
        "weights": "pretrained",
        "dataset": dataset,
        "n": 1,
        "max_input_tokens": 200,
        "max_output_tokens": 4,
    }
    return experiment(**(base | changes))
