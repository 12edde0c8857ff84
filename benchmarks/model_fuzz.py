"""Break the files of tiny models at random and check that llem refuses them, or measures them whole.

    uv run python benchmarks/model_fuzz.py [COUNT] [--seed N] [--processes N]

The cases are models that work, with changes in config.json, generation_config.json, the files of the
tokenizer, the headers of safetensors files, an index, or an adapter: other values, bytes, names,
missing files, links, pipes and folders. Each case goes through the checks before a run, the memory
estimate, loading and a generation. No case may raise an error that is not ours, hang, need more than
some gigabytes, or be refused in several lines. A failed case is printed with its number, which
reproduces it. 400 cases take about six minutes on two busy processors.
"""

from __future__ import annotations

import functools
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed

from benchmarks.shared.fuzzing import run
from llem_config import ExperimentConfig, LlemError
from llem_energy.models import estimate_memory
from llem_energy.preflight import check_files

COUNT = 3_000
MAX_SECONDS = 60
_MAX_BYTES = 8 * 2**30
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_VALUES: list[object] = [
    *(-1, 0, 1, 2, 7, 33, 1.5, 10**9, 10**30, 2**63, float("nan"), float("inf")),
    *("", "x", "16", "bert", "llama", "t5", "someone/kernel", "../other", "/etc/passwd", "\ud800"),
    *(None, True, False, [], {}, [[]], ["x", 16], [0, 0], {"a": {"b": []}}, "a" * 5000),
]
_KEYS = [
    *("model_type", "architectures", "vocab_size", "hidden_size", "num_hidden_layers"),
    *("num_attention_heads", "num_key_value_heads", "intermediate_size", "head_dim", "rope_theta"),
    *("attn_implementation", "_attn_implementation", "experts_implementation", "auto_map"),
    *("is_encoder_decoder", "is_decoder", "text_config", "quantization_config", "layer_types"),
    *("sliding_window", "max_position_embeddings", "pad_token_id", "eos_token_id", "dtype"),
    *("transformers_weights", "tie_word_embeddings", "rope_parameters", "generation_config", "odd"),
]
_BYTES = [b'"', b"{", b"}", b"[", b",", b":", b"\x00", b"\xff", b"1e999", b"null", b"[" * 5000]


class Case(msgspec.Struct, frozen=True):
    """A model or an adapter with changes."""

    model: str
    """Which of the models that work it was."""
    target: str
    """The file that was changed."""
    change: str
    files: dict[str, bytes]
    special: dict[str, str]
    """What is in place of a file, by its name: `pipe`, `folder`, `huge`, or `link:TARGET`."""
    has_text: bool


@functools.cache
def seeds() -> dict[str, dict[str, bytes]]:
    """Return the files of each model that works, by name; those of an adapter begin with `lora/`."""
    import peft
    import tokenizers
    import torch
    import transformers

    small = {
        "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "n_embd": 16, "n_layer": 1, "n_head": 2,
        "max_position_embeddings": 64, "n_positions": 64, "pad_token_id": 0, "eos_token_id": 2,
        "bos_token_id": 1,
    }  # fmt: skip
    models: dict[str, dict[str, bytes]] = {}
    words = {"[UNK]": 0, **{word: i for i, word in enumerate("abcdefghij", 1)}}
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]")
    for name, shard in (("llama", "1GB"), ("gpt2", "1GB"), ("llama", "2kB")):
        torch.manual_seed(0)
        architecture = transformers.AutoConfig.for_model(name, **small)
        model = transformers.AutoModelForCausalLM.from_config(architecture)
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder, max_shard_size=shard)
            tokenizer.save_pretrained(folder)
            if name == "llama":
                shape = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
                peft.get_peft_model(model, shape).save_pretrained(f"{folder}/lora")
            paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
            key = f"{name} in parts" if shard == "2kB" else name
            models[key] = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    return models


def case(seed: int, number: int) -> Case:
    """Return one broken model; the same for the same seed and number."""
    rng = random.Random(f"{seed}:{number}")  # not for cryptography
    name = rng.choice(sorted(seeds()))
    files = dict(seeds()[name])
    kinds = [path for path in sorted(files) if not path.endswith(".md")]
    target = "config.json" if rng.random() < 0.35 else rng.choice(kinds)
    special: dict[str, str] = {}
    change = _change(rng, files, target, special)
    return Case(name, target, change, files, special, rng.random() < 0.3)


def _change(
    rng: random.Random, files: dict[str, bytes], target: str, special: dict[str, str]
) -> str:
    """Change the target, and return the name of the change."""
    kind = rng.random()
    if kind < 0.1:
        content = files.pop(target)
        place = rng.choice(("none", "pipe", "folder", "huge", "link:/dev/zero", "link:nowhere"))
        special |= {} if place == "none" else {target: place}
        return f"{place} instead of {len(content)} bytes"
    if kind < 0.35:
        for _ in range(rng.choice((1, 1, 2, 8))):
            files[target] = _mutated(rng, files[target])
        return "bytes"
    if target.endswith(".safetensors"):
        files[target] = _changed_header(rng, files[target])
        return "header"
    if not target.endswith(".json"):
        files[target] = _mutated(rng, files[target])
        return "bytes"
    data = json.loads(files[target])
    for _ in range(rng.choice((1, 1, 2))):
        _change_value(rng, data)
    files[target] = json.dumps(data).encode()
    return "values"


def _mutated(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content) + 1)
    to = min(len(content), at + rng.choice((1, 1, 3, 20)))
    new = rng.choice((b"", rng.randbytes(3), rng.choice(_BYTES), content[at:to] * 3))
    return content[:at] if rng.random() < 0.15 else content[:at] + new + content[to:]


def _change_value(rng: random.Random, data: Any) -> None:
    """Change, add or delete one value at any depth of a JSON object."""
    while True:
        keys: list[Any] = sorted(data) if isinstance(data, dict) else [*range(len(data))]
        if isinstance(data, dict) and rng.random() < 0.4:
            keys = [*_KEYS]
        if not keys:
            return
        key = rng.choice(keys)
        inner = data.get(key) if isinstance(data, dict) else data[key]
        if not isinstance(inner, dict | list) or rng.random() < 0.3:
            break
        data = inner
    if rng.random() < 0.15 and isinstance(data, dict):
        data.pop(key, None)
    else:
        data[key] = rng.choice(_VALUES)


def _changed_header(rng: random.Random, content: bytes) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header, rest = json.loads(content[8 : 8 + length]), content[8 + length :]
    match rng.randrange(4):
        case 0:
            return (
                rng.choice((0, 1, length + 1, 2**20, 2**60, 2**64 - 1)).to_bytes(8, "little")
                + (content[8:])
            )
        case 1:
            rest = rest[: rng.randrange(len(rest) + 1)]
        case 2:
            header[rng.choice(sorted(header))] = rng.choice(_VALUES)
        case _:
            tensor = header[rng.choice([key for key in header if key != "__metadata__"])]
            key = rng.choice(("dtype", "shape", "data_offsets"))
            if key == "dtype" or rng.random() < 0.3:
                tensor[key] = rng.choice([*_VALUES, "F16", "I64", "F8_E4M3", "Q"])
            elif tensor[key]:
                tensor[key][rng.randrange(len(tensor[key]))] = rng.choice(_VALUES)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


def write(broken: Case, folder: Path) -> None:
    """Write the files of a case."""
    for name, content in broken.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for name, place in broken.special.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind, _, link = place.partition(":")
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "huge":
            with path.open("wb") as file:
                file.truncate(2**41)  # sparse
        else:
            path.symlink_to(link)


def check(broken: Case, folder: Path) -> str:
    """Check, estimate, load and run one model, and return the name of the outcome.

    Raises:
        AssertionError: the outcome is wrong.
    """
    write(broken, folder)
    (folder / "prompts.jsonl").write_text('{"prompt": "a b c"}\n')
    has_adapter = broken.target.startswith("lora/")
    config = ExperimentConfig.model_validate(
        {
            "model": str(folder),
            "weights": "pretrained",
            "precision": "fp32",
            "n": 1,
            "max_input_tokens": 4,
            "max_output_tokens": 2,
            "dataset": str(folder / "prompts.jsonl") if broken.has_text else "synthetic",
            "pytorch": {"device": "cpu"},
            "lora": {"adapter": str(folder / "lora")} if has_adapter else None,
        }
    )
    findings = check_files([config])
    for finding in findings:
        _check_sentence(finding.message)
    estimate_memory(config)
    try:
        _answer(config)
    except LlemError as error:
        _check_sentence(str(error))
        return "refused before the run" if findings else "refused while loading"
    # A wrong value of a key that the library does not read, for example.
    return "refused although the library runs it" if findings else "measured"


def _check_sentence(message: str) -> None:
    assert len(message.splitlines()) == 1, f"several lines: {message!r}"
    assert len(message) < 2500, f"too long: {message[:200]!r}"


def _answer(config: ExperimentConfig) -> None:
    from llem_energy._backends.pytorch.backend import PyTorchBackend
    from llem_energy._prompts.load import load_prompts

    backend = PyTorchBackend(config)
    try:
        backend.open()
        backend.load()
        workload = backend.prepare(load_prompts(config, backend.vocabulary()))
        for batch in workload.batches:
            assert backend.generate(batch).n_tokens()[0] >= 1
    finally:
        backend.close()


def failures(seed: int, numbers: range) -> tuple[Counter[str], list[str]]:
    """Return the number of cases for each outcome, and a text for each case that failed."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    os.environ["HF_HUB_OFFLINE"] = "1"
    seeds()  # before the limit of time and memory
    signal.signal(signal.SIGALRM, _too_long)
    outcomes: Counter[str] = Counter()
    wrong = []
    old_limit = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_MAX_BYTES, old_limit[1]))
    try:
        for number in numbers:
            broken = case(seed, number)
            folder = Path(tempfile.mkdtemp())
            signal.alarm(MAX_SECONDS)
            try:
                outcomes[check(broken, folder)] += 1
            except BaseException as error:  # also a panic of a Rust library
                if isinstance(error, KeyboardInterrupt):
                    raise
                outcomes["WRONG"] += 1
                shown = (broken.model, broken.target, broken.change, broken.special)
                wrong.append(f"case {number}: {shown}\n{traceback.format_exc()}")
            finally:
                signal.alarm(0)
                shutil.rmtree(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, old_limit)
    return outcomes, wrong


def _too_long(number: int, frame: object) -> None:
    del number, frame
    raise TimeoutError(f"took more than {MAX_SECONDS} s")


if __name__ == "__main__":
    raise SystemExit(run(failures, __doc__, COUNT, 100))
