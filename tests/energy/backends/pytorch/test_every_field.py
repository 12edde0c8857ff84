"""Every field of the backend, of the decoder and of an adapter changes the computation.

Each observer changes one field and looks at the running model: the tensors that reach it, the
functions of torch that are called, its weights, or its answers compared with a reference. A field
without an observer fails. Options that need a GPU must be refused here; `test_every_field_gpu.py`
observes them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch
from energy.backends.pytorch.watching import Watched, reference_answers, watched
from energy.models import text_experiment
from energy.parts import experiment, loaded
from pydantic import BaseModel
from safetensors.torch import load_file

from llem_config import DecoderConfig, ExperimentConfig, LoRAConfig, PyTorchConfig
from llem_energy import BackendError

N_OUT = 12
SECTIONS: dict[str, type[BaseModel]] = {
    "pytorch": PyTorchConfig,
    "decoder": DecoderConfig,
    "lora": LoRAConfig,
}
FIELDS = [f"{key}.{name}" for key, model in SECTIONS.items() for name in model.model_fields]


class Subject:
    """The small text model and an experiment on it, which each observer changes."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.model: Any = request.getfixturevalue("text_model")
        self.fixture = request.getfixturevalue

    def config(self, **changes: Any) -> ExperimentConfig:
        return text_experiment(self.model, **changes)

    def run(self, prompts: Any = None, **pytorch: Any) -> Watched:
        """Answer with these options of the backend; the batch size is 1 by default."""
        options = {"batch_size": 1, **pytorch}
        return watched(self.config(n=3, max_output_tokens=4, pytorch=options), prompts)

    def refusal(self, **changes: Any) -> str:
        with pytest.raises(BackendError) as raised:
            loaded(self.config(**{"precision": "bf16", **changes}))
        return str(raised.value)

    def compare(self, decoder: dict[str, Any], without: dict[str, Any]) -> None:
        """Check that answers equal the reference, with these options and without them."""
        answers = []
        for options in (without, decoder):
            config = self.config(n=4, decoder=options, pytorch={"batch_size": 1}, random_seed=5)
            model = loaded(config)
            prompts = model._tokenise(self.model.texts[:4])
            answer = watched(config).answers
            expected = reference_answers(model._model, prompts, config.decoder, n_new=N_OUT,
                             end=self.model.end_id, seed=5)  # fmt: skip
            assert answer == expected, options
            answers.append(answer)
        assert answers[0] != answers[1], "this value changes nothing"


OBSERVERS: dict[str, Callable[[Subject], None]] = {}


def observes(*fields: str) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    def keep(observer: Callable[[Subject], None]) -> Callable[[Subject], None]:
        OBSERVERS.update(dict.fromkeys(fields, cache(observer)))  # runs once for all its fields
        return observer

    return keep


@pytest.fixture(scope="module")
def subject(request: pytest.FixtureRequest) -> Subject:
    return Subject(request)


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_changes_the_computation(field: str, subject: Subject) -> None:
    assert field in OBSERVERS, f"nothing observes {field}"
    OBSERVERS[field](subject)


def test_every_observer_belongs_to_a_field() -> None:
    assert sorted(OBSERVERS) == sorted(FIELDS)


@observes("pytorch.batch_size")
def batch_size(subject: Subject) -> None:
    assert [call.n_rows for call in subject.run().first_calls] == [1, 1, 1]
    assert [call.n_rows for call in subject.run(batch_size=2).first_calls] == [2, 1]


@observes("pytorch.batching")
def batching(subject: Subject) -> None:
    fed = [call.n_fed for call in subject.run(batching="static").first_calls]
    assert fed == [len(text.split()) for text in subject.model.texts[:3]]
    in_order = [call.n_fed for call in subject.run(batching="sorted").first_calls]
    assert in_order == sorted(fed, reverse=True) != fed


@observes("pytorch.device")
def device(subject: Subject) -> None:
    model = loaded(subject.config(pytorch={"device": "cpu"}))._model
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}
    if not torch.cuda.is_available():
        assert subject.refusal(pytorch={"device": "cuda"}) == (
            "requested device cuda, but torch finds no GPU"
        )


def skip_without_compiler() -> None:
    if shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler")


def profiled(subject: Subject, attention: str) -> set[str]:
    """Return the operations that torch's profiler records in the second answer."""
    options = {"device": "cpu", "batch_size": 1, "attn_implementation": attention}
    backend = loaded(experiment(model=str(subject.fixture("wide_model")), pytorch=options))
    (batch,) = backend.prepare([(10, 11)]).batches
    backend.generate(batch)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        backend.generate(batch)
    backend.close()
    return {event.key for event in profile.key_averages()}


@observes("pytorch.attn_implementation")
def attn_implementation(subject: Subject) -> None:
    fused, plain = torch.nn.functional.scaled_dot_product_attention, torch.nn.functional.softmax
    eager = subject.run(attn_implementation="eager").functions
    assert plain in eager
    assert fused not in eager
    sdpa = subject.run(attn_implementation="sdpa").functions
    assert fused in sdpa
    assert plain not in sdpa
    refused_without_gpu(subject, "attn_implementation", "flash_attention_2", "flash_attention_3")
    skip_without_compiler()
    flex = profiled(subject, "flex_attention")  # only this attention is compiled
    assert any("CompiledFxGraph" in name for name in flex)
    assert not any("scaled_dot_product" in name or "softmax" in name for name in flex)
    assert any("scaled_dot_product" in name for name in profiled(subject, "sdpa"))


@observes("pytorch.torch_compile", "pytorch.torch_compile_backend")
def torch_compile(subject: Subject) -> None:
    graphs: list[int] = []

    def counting(graph: Any, inputs: Any) -> Any:
        del inputs
        graphs.append(len(graph.graph.nodes))

        def run(*arguments: Any) -> Any:
            graphs.append(0)
            return graph(*arguments)

        return run

    torch._dynamo.register_backend(counting, name="llem_counting")
    try:
        subject.run([(10, 11)], torch_compile=False)
        subject.run([(10, 11)], torch_compile=True, torch_compile_backend="eager")
        assert graphs == []
        options = {"torch_compile": True, "torch_compile_backend": "llem_counting"}
        (answer,) = subject.run([(10, 11)], **options).answers
    finally:
        from torch._dynamo.backends import registry

        registry._COMPILER_FNS.pop("llem_counting", None)
        registry._BACKENDS.pop("llem_counting", None)
    assert max(graphs) > 50  # operations in a graph
    assert graphs.count(0) == len(answer)  # every step ran compiled


@observes("pytorch.torch_compile_mode")
def torch_compile_mode(subject: Subject) -> None:
    skip_without_compiler()

    def options(mode: str) -> tuple[bool, bool]:
        backend = loaded(
            subject.config(pytorch={"torch_compile": True, "torch_compile_mode": mode})
        )
        inductor = backend._model.forward.get_compiler_config()  # the settings of this model
        backend.close()
        return inductor["max_autotune"], inductor["triton.cudagraphs"]

    assert options("default") == (False, False)
    assert options("reduce-overhead") == (False, True)
    assert options("max-autotune") == (True, True)
    assert options("max-autotune-no-cudagraphs") == (True, False)


@observes("pytorch.cache_implementation")
def cache_implementation(subject: Subject) -> None:
    for option, used in {"dynamic": "DynamicCache", "static": "StaticCache"}.items():
        assert {call.cache for call in subject.run(cache_implementation=option).calls} == {used}
    refused_without_gpu(subject, "cache_implementation", "offloaded", "offloaded_static")
    skip_without_compiler()
    options = {"device": "cpu", "batch_size": 1, "cache_implementation": "quantized"}
    wide = experiment(model=str(subject.fixture("wide_model")), pytorch=options)
    caches: list[Any] = []
    backend = loaded(wide)
    backend._model.register_forward_hook(
        lambda *arguments: caches.append(arguments[-1].past_key_values)
    )
    backend.generate(*backend.prepare([(10, 11, 12)]).batches)
    assert {type(cache).__name__ for cache in caches} == {"QuantizedCache"}
    keys = caches[-1].layers[0]._quantized_keys
    assert type(keys).__module__.startswith("optimum.quanto")
    assert keys.qtype.bits == 4


@observes("pytorch.use_cache")
def use_cache(subject: Subject) -> None:
    longest = len(subject.model.texts[0].split())
    assert [call.n_fed for call in subject.run(use_cache=True).calls[:4]] == [longest, 1, 1, 1]
    without = subject.run(use_cache=False).calls[:4]
    assert [call.n_fed for call in without] == [longest + step for step in range(4)]
    assert {call.cache for call in without} == {"NoneType"}


@observes("pytorch.num_beams")
def num_beams(subject: Subject) -> None:
    assert {call.n_rows for call in subject.run(num_beams=3).calls} == {3}


def beams(subject: Subject, **options: Any) -> Watched:
    decoder = {"ignore_eos": False}
    return watched(
        subject.config(decoder=decoder, pytorch={"batch_size": 1, "num_beams": 3, **options})
    )


@observes("pytorch.early_stopping")
def early_stopping(subject: Subject) -> None:
    # Stop at as many answers as beams, or continue while a better answer is possible.
    first, best = (len(beams(subject, early_stopping=value).calls) for value in (True, "never"))
    assert first < best


@observes("pytorch.length_penalty")
def length_penalty(subject: Subject) -> None:
    def length(penalty: float) -> int:
        answers = beams(subject, length_penalty=penalty, early_stopping="never").answers
        end = subject.model.end_id
        return sum(answer.index(end) if end in answer else N_OUT for answer in answers)

    assert length(-5.0) < length(5.0)


@observes("pytorch.no_repeat_ngram_size")
def no_repeat_ngram_size(subject: Subject) -> None:
    def repeats(size: int | None) -> int:
        config = subject.config(pytorch={"no_repeat_ngram_size": size}, max_output_tokens=60)
        pairs = [list(pairwise(a)) for a in watched(config).answers]
        return sum(len(answer) - len(set(answer)) for answer in pairs)

    assert repeats(None) > 0
    assert repeats(2) == 0


@observes("pytorch.prompt_lookup_num_tokens")
def prompt_lookup_num_tokens(subject: Subject) -> None:
    prompt = (
        10,
        11,
        12,
        13,
        14,
        15,
        16,
        10,
        11,
    )  # the tokens after the earlier `10 11` are the draft
    for n_draft in (2, 4):
        calls = subject.run([prompt], prompt_lookup_num_tokens=n_draft).calls
        # The first call reads the prompt and checks the draft together.
        assert calls[0].n_fed == len(prompt) + n_draft
    assert subject.run([prompt]).calls[0].n_fed == len(prompt)


@observes("pytorch.assistant_model")
def assistant_model(subject: Subject) -> None:
    assert subject.run().drafts == []
    run = subject.run(assistant_model=str(subject.model.folder))
    assert len(run.drafts) > 0
    assert run.calls[0].n_fed > len(subject.model.texts[0].split())  # the drafts are checked


def refused_without_gpu(subject: Subject, field: str, *values: Any, **more: Any) -> None:
    if torch.cuda.is_available():
        return  # observed in `test_every_field_gpu.py`
    for value in values:
        text = subject.refusal(pytorch={"device": "auto", field: value, **more})
        name = f"{field} {value}" if isinstance(value, str) and not more else field
        assert f"{name} needs a GPU, but there is none" in text


def packed(subject: Subject, *, answers: bool = True, **options: Any) -> list[Any]:
    """Return the layers that bitsandbytes replaced; it has kernels for a CPU too."""
    options = {"device": "cpu", **options}
    config = experiment(model=str(subject.fixture("wide_model")), precision="bf16", pytorch=options,
                        max_output_tokens=N_OUT)  # fmt: skip
    backend = loaded(config)
    if answers:
        (batch,) = backend.prepare([(10, 11, 12)]).batches
        assert backend.generate(batch).n_tokens() == (N_OUT,)
    return [m for m in backend._model.modules() if type(m).__module__.startswith("bitsandbytes")]


@observes("pytorch.load_in_4bit", "pytorch.load_in_8bit")
def load_in_bits(subject: Subject) -> None:
    assert packed(subject) == []
    four, eight = packed(subject, load_in_4bit=True), packed(subject, load_in_8bit=True)
    assert {(type(layer).__name__, layer.weight.dtype) for layer in four} == {
        ("Linear4bit", torch.uint8)
    }
    assert {(type(layer).__name__, layer.weight.dtype) for layer in eight} == {
        ("Linear8bitLt", torch.int8)
    }


@observes("pytorch.bnb_4bit_compute_dtype", "pytorch.bnb_4bit_quant_type",
          "pytorch.bnb_4bit_use_double_quant")  # fmt: skip
def bnb_4bit(subject: Subject) -> None:
    for dtype, kind, double in (("bfloat16", "nf4", True), ("float32", "fp4", False)):
        options: dict[str, Any] = {
            "bnb_4bit_compute_dtype": dtype,
            "bnb_4bit_quant_type": kind,
            "bnb_4bit_use_double_quant": double,
        }
        first, *_ = packed(subject, answers=False, load_in_4bit=True, **options)
        assert first.compute_dtype == getattr(torch, dtype)
        assert first.weight.quant_state.quant_type == kind
        assert first.weight.quant_state.nested is double


@observes("pytorch.device_map", "pytorch.max_memory")
def device_map(subject: Subject) -> None:
    refused_without_gpu(subject, "device_map", "balanced", max_memory={"0": "1GiB"})
    refused_without_gpu(subject, "max_memory", {"0": "1GiB"}, device_map="auto")


@observes("pytorch.revision")
def revision(subject: Subject) -> None:
    assert subject.refusal(pytorch={"revision": "main"}) == (
        f"revision main has no effect on {subject.model.folder}, which is not on a hub"
    )
    revisions = subject.fixture("hub")["revisions"]
    first, second = revisions["first"], revisions["second"]
    assert first["weight"] == pytest.approx(1.0)
    assert second["weight"] == pytest.approx(2.0)
    assert (first["commit"], second["commit"]) == ("1" * 40, "2" * 40)


@observes("pytorch.trust_remote_code")
def trust_remote_code(subject: Subject) -> None:
    loads = subject.fixture("hub")
    assert loads["trusted"] == ["OwnModel", True]
    assert "trust_remote_code" in loads["untrusted"]


@observes("pytorch.use_safetensors")
def use_safetensors(subject: Subject) -> None:
    folder = subject.fixture("tmp_path_factory").mktemp("two-formats")
    shutil.copytree(subject.model.folder, folder, dirs_exist_ok=True)
    weights = load_file(folder / "model.safetensors")
    pickled = {name: value + 1.0 for name, value in weights.items()}
    torch.save(pickled, folder / "pytorch_model.bin")

    def norm(use_safetensors: bool | None) -> Any:
        config = text_experiment(
            subject.model._replace(folder=folder), pytorch={"use_safetensors": use_safetensors}
        )
        return loaded(config)._model.model.norm.weight

    for value in (None, True):
        assert torch.equal(norm(value), weights["model.norm.weight"])
    assert torch.equal(norm(False), pickled["model.norm.weight"])


@observes("decoder.preset")
def preset(subject: Subject) -> None:
    # The reference uses the documented values of the presets.
    written = {"temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.1}
    subject.compare({"preset": "creative"}, {})
    subject.compare({"preset": "factual"}, {"preset": "standard"})
    runs = [watched(subject.config(decoder=d)).answers for d in ({"preset": "creative"}, written)]
    assert runs[0] == runs[1]


@observes("decoder.temperature")
def temperature(subject: Subject) -> None:
    subject.compare({"temperature": 2.5}, {"temperature": 0.9})


@observes("decoder.top_k")
def top_k(subject: Subject) -> None:
    subject.compare({"temperature": 2.5, "top_k": 2}, {"temperature": 2.5})


@observes("decoder.top_p")
def top_p(subject: Subject) -> None:
    subject.compare({"temperature": 2.5, "top_p": 0.4}, {"temperature": 2.5})


@observes("decoder.min_p")
def min_p(subject: Subject) -> None:
    subject.compare({"temperature": 2.5, "min_p": 0.3}, {"temperature": 2.5})


@observes("decoder.repetition_penalty")
def repetition_penalty(subject: Subject) -> None:
    subject.compare({"repetition_penalty": 1.7}, {})


@observes("decoder.do_sample")
def do_sample(subject: Subject) -> None:
    subject.compare({"do_sample": True}, {"do_sample": False})


@observes("decoder.min_new_tokens")
def min_new_tokens(subject: Subject) -> None:
    subject.compare({"ignore_eos": False, "min_new_tokens": 9}, {"ignore_eos": False})


@observes("decoder.ignore_eos")
def ignore_eos(subject: Subject) -> None:
    subject.compare({"ignore_eos": False}, {"ignore_eos": True})


@observes("lora.adapter", "lora.merge_weights")
def lora(subject: Subject) -> None:
    plain = loaded(subject.config(pytorch={}))._model.model.layers[0].self_attn.q_proj.weight
    answers = [subject.run().answers]
    for merge in (False, True):
        options = {"adapter": str(subject.fixture("adapter")), "merge_weights": merge}
        run = watched(subject.config(n=3, max_output_tokens=4, lora=options, pytorch={}))
        answers.append(run.answers)
        backend = loaded(subject.config(lora=options))
        names = {name.rpartition(".")[2] for name, _ in backend._model.named_modules()}
        assert ("lora_A" in names) is not merge
        if merge:
            merged = backend._model.model.layers[0].self_attn.q_proj.weight
            assert not torch.equal(merged, plain)
    assert answers[1] == answers[2] != answers[0]
