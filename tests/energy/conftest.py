"""Models and adapters that are built once for all tests of this folder."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from energy.parts import experiment, loaded

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
    # The padding side is wrong for a decoder, as in many published models.
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
    # The end token is one that several answers contain, at different positions.
    ids = [torch.tensor([words.encode(text).ids]) for text in texts]
    answers = [greedy(model, prompt, 12) for prompt in ids]
    lengths = {
        token: tuple(a.index(token) if token in a else 12 for a in answers) for token in range(44)
    }
    end_id = max(lengths, key=lambda token: len(set(lengths[token])))
    assert len(set(lengths[end_id])) >= 3, lengths
    model.config.eos_token_id = end_id
    # None of these may have an effect: only the options of the experiment count.
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=1, eos_token_id=[end_id], pad_token_id=0, do_sample=True, temperature=0.31,
        top_k=7, top_p=0.5, repetition_penalty=1.9, no_repeat_ngram_size=2,
    )  # fmt: skip
    model.save_pretrained(folder)
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    return TextModel(folder, prompts, texts, end_id)


def greedy(model: Any, ids: Any, n_new: int, end_id: int | None = None) -> list[int]:
    """Return the greedy answer to one prompt, step by step and without a cache."""
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
    """Return a slow reference that answers each text alone, up to `n_new` tokens or the end token."""
    import torch
    import transformers

    model = transformers.LlamaForCausalLM.from_pretrained(text_model.folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(text_model.folder)

    def answer(n_new: int, end_id: int | None) -> list[list[int]]:
        ids = [torch.tensor([tokenizer(text)["input_ids"]]) for text in text_model.texts]
        return [greedy(model.eval(), prompt, n_new, end_id) for prompt in ids]

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
        warnings.simplefilter("ignore")  # from peft, about transformers
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


loads = {"revisions": {}}
for revision in ("first", "second"):
    backend = loaded("org/small", revision=revision)
    weight = float(backend._model.model.norm.weight.mean())
    commit = backend.effective_config()["revision"]
    loads["revisions"][revision] = {"weight": weight, "commit": commit}
trusted = loaded(sys.argv[1], trust_remote_code=True)
loads["trusted"] = [type(trusted._model).__name__, trusted.effective_config()["remote_code"]]
try:
    loaded(sys.argv[1])
except BackendError as error:
    loads["untrusted"] = str(error)
print(json.dumps(loads))
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
    """Return what a process reads from a cache of the hub, and from a model with its own code."""
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
    folder = home / "own-code"
    model.save_pretrained(folder)
    (folder / "own.py").write_text(_OWN_CODE)
    shape = json.loads((folder / "config.json").read_text())
    shape["model_type"] = "own"
    shape["auto_map"] = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(shape))
    environment = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return json.loads(run_python(_FROM_HUB, str(folder), env=environment).splitlines()[-1])


@pytest.fixture(scope="session")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model whose rows have 64 weights, the block size of 4-bit packing."""
    folder = tmp_path_factory.mktemp("wide-model")
    loaded(experiment(precision="bf16"))._model.save_pretrained(folder)
    return folder
