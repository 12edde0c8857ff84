"""What is built once for all tests of this folder."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from energy.parts import experiment, loaded

# The models are so small that a second thread only waits; on a busy machine it waits long.
os.environ.setdefault("OMP_NUM_THREADS", "1")


WORDS = [f"w{i}" for i in range(40)]


class TextModel(NamedTuple):
    """A small random model with a tokenizer in a folder, and prompts of different length."""

    folder: Path
    prompts: Path
    texts: tuple[str, ...]
    end_id: int


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> TextModel:
    import tokenizers
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("text-model")
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    # Its own padding side is the wrong one for a decoder, as it is for many published models.
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", padding_side="right"
    ).save_pretrained(folder)
    texts = tuple(" ".join(WORDS[i : i + 2 + 3 * (i % 4)]) for i in range(7))

    torch.manual_seed(3)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
            bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=0.5,
        )
    ).eval()  # fmt: skip
    # The end token is one that some answers really reach, at different places.
    ids = [torch.tensor([words.encode(text).ids]) for text in texts]
    reached = [greedy(model, one, 12) for one in ids]
    where = {
        token: tuple(a.index(token) if token in a else 12 for a in reached) for token in range(44)
    }
    end_id = max(where, key=lambda token: len(set(where[token])))
    assert len(set(where[end_id])) >= 3, where
    model.config.eos_token_id = end_id
    # All of this must stay outside: an experiment says what it wants.
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=1, eos_token_id=[end_id], pad_token_id=0, do_sample=True, temperature=0.31,
        top_k=7, top_p=0.5, repetition_penalty=1.9, no_repeat_ngram_size=2,
    )  # fmt: skip
    model.save_pretrained(folder)
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    return TextModel(folder, prompts, texts, end_id)


def greedy(model: Any, ids: Any, n_new: int, end_id: int | None = None) -> list[int]:
    """Return what a model answers to one prompt alone, step by step and without a cache."""
    import torch

    answer: list[int] = []
    with torch.inference_mode():
        while len(answer) < n_new and (not answer or answer[-1] != end_id):
            token = model(input_ids=ids, use_cache=False).logits[0, -1].argmax().reshape(1, 1)
            answer.append(int(token))
            ids = torch.cat([ids, token], dim=1)
    return answer


@pytest.fixture(scope="session")
def alone(text_model: TextModel) -> Callable[[int, int | None], list[list[int]]]:
    """Return a slow reference: each text answered alone in `n` tokens or up to the end token."""
    import torch
    import transformers

    model = transformers.LlamaForCausalLM.from_pretrained(text_model.folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(text_model.folder)

    def answer(n_new: int, end_id: int | None) -> list[list[int]]:
        ids = [torch.tensor([tokenizer(text)["input_ids"]]) for text in text_model.texts]
        return [greedy(model.eval(), one, n_new, end_id) for one in ids]

    return answer


@pytest.fixture(scope="session")
def adapter(text_model: TextModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a LoRA adapter of the text model that changes its answers."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("text-adapter")
    torch.manual_seed(1)
    model = transformers.LlamaForCausalLM.from_pretrained(text_model.folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's, of transformers
        import peft

        shape = peft.LoraConfig(
            r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
        )
        peft.get_peft_model(model, shape).save_pretrained(str(folder))
    return folder


_FROM_HUB = """
import json, sys
from llem_config import ExperimentConfig
from llem_energy import BackendError
from llem_energy._backends.pytorch.backend import PyTorchBackend


def loaded(model, **options):
    config = {"model": model, "precision": "fp32", "pytorch": {"device": "cpu", **options}}
    backend = PyTorchBackend(ExperimentConfig.model_validate(config))
    backend.open()
    backend.load()
    return backend


found = {"revisions": {}}
for revision in ("first", "second"):
    backend = loaded("org/small", revision=revision)
    weight = float(backend._model.model.norm.weight.mean())
    commit = backend.effective_config()["revision"]
    found["revisions"][revision] = {"weight": weight, "commit": commit}
trusted = loaded(sys.argv[1], trust_remote_code=True)
found["trusted"] = [type(trusted._model).__name__, trusted.effective_config()["remote_code"]]
try:
    loaded(sys.argv[1])
except BackendError as error:
    found["untrusted"] = str(error)
print(json.dumps(found))
"""

_OWN_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM


class OwnConfig(LlamaConfig):
    model_type = "own"


class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture(scope="session")
def hub(text_model: TextModel, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what a process finds that loads from a hub's cache, made here, and from own code."""
    import torch
    import transformers
    from energy.parts import run_python

    home = tmp_path_factory.mktemp("hub")
    repository = home / "hub" / "models--org--small"
    (repository / "refs").mkdir(parents=True)
    model = transformers.LlamaForCausalLM.from_pretrained(text_model.folder)
    for number, name in enumerate(("first", "second"), 1):
        (repository / "refs" / name).write_text(str(number) * 40)
        torch.nn.init.constant_(model.model.norm.weight, float(number))
        model.save_pretrained(repository / "snapshots" / (str(number) * 40))
    own = home / "own-code"
    model.save_pretrained(own)
    (own / "own.py").write_text(_OWN_CODE)
    shape = json.loads((own / "config.json").read_text())
    shape["model_type"] = "own"
    shape["auto_map"] = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (own / "config.json").write_text(json.dumps(shape))
    alone = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return json.loads(run_python(_FROM_HUB, str(own), env=alone).splitlines()[-1])


@pytest.fixture(scope="session")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model whose rows fill a block of 64 weights, which is packed as one."""
    folder = tmp_path_factory.mktemp("wide-model")
    loaded(experiment(precision="bf16"))._model.save_pretrained(folder)
    return folder
