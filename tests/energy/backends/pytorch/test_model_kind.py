"""Models that transformers would run only in part are refused, if possible before loading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from energy.models import random_model
from energy.parts import checked, experiment, loaded, run_python

from llem_config import ExperimentConfig
from llem_energy import BackendError
from llem_energy._backends.pytorch.library_source import causal_model_types
from llem_energy.preflight import check_files

TINY = {
    "vocab_size": 64, "d_model": 32, "hidden_size": 32, "intermediate_size": 64, "num_layers": 2,
    "num_hidden_layers": 2, "encoder_layers": 3, "decoder_layers": 2, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "num_attention_heads": 4, "num_heads": 4, "d_kv": 8, "d_ff": 64, "pad_token_id": 0,
    "max_position_embeddings": 64,
}  # fmt: skip
SMALL = {key: value for key, value in TINY.items() if "encoder" not in key and "decoder" not in key}
BROKEN = "gemma4_assistant"  # its class cannot be made without arguments
ENCODER_DECODERS = (
    "bart",
    "mbart",
    "pegasus",
    "marian",
    "blenderbot",
    "t5",
    "mt5",
    "led",
    "m2m_100",
)


def of(folder: Path, data: dict[str, Any], **changes: Any) -> ExperimentConfig:
    (folder / "config.json").write_text(json.dumps(data))
    return experiment(model=str(folder), weights="random", **changes)


def problem(config: ExperimentConfig) -> str:
    """Return the only reason that the checks before the first run give, for any machine."""
    report = checked(config)
    (finding,) = report.problems
    assert check_files([config]) == (finding,)
    assert report.expected_failures == ()
    return finding.message


def problem_here(config: ExperimentConfig) -> str:
    """Return the only reason, which concerns the library that is installed here."""
    report = checked(config)
    (finding,) = report.problems
    assert check_files([config]) == ()
    assert report.expected_failures == (finding,)
    return finding.message


@pytest.mark.parametrize("model_type", ENCODER_DECODERS)
def test_an_encoder_decoder_is_refused_before_the_first_run(
    tmp_path: Path, model_type: str
) -> None:
    import transformers

    transformers.AutoConfig.for_model(model_type, **TINY).save_pretrained(tmp_path)
    config = experiment(model=str(tmp_path), weights="random")
    assert problem(config) == (
        f"model {tmp_path} is an encoder-decoder model, of which only the decoder would run; use a "
        "decoder-only model"
    )
    with pytest.raises(BackendError, match="encoder-decoder"):
        loaded(config)


def test_every_encoder_decoder_with_a_causal_class_is_refused(tmp_path: Path) -> None:
    """Their decoders alone have a class, which the library would choose without a message."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    refused = 0
    for model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        kind = transformers.CONFIG_MAPPING[model_type]
        if getattr(kind, "is_encoder_decoder", False):
            (tmp_path / "config.json").write_text(json.dumps(kind().to_dict(), default=str))
            assert "encoder-decoder" in problem(experiment(model=str(tmp_path), weights="random"))
            refused += 1
    assert refused >= 10


@pytest.mark.parametrize(
    "data",
    [
        {"model_type": "bart", "encoder_layers": 3, "decoder_layers": 2},
        {"model_type": "bart", "d_model": 32, "vocab_size": 64},
        {"model_type": "whisper", "d_model": 32},
        {"model_type": "musicgen"},
        {"model_type": "moonshine"},
        {"model_type": "canary"},
        {
            "model_type": "some_next",
            "encoder": {"model_type": "vit"},
            "decoder": {"model_type": "x"},
        },
        {"model_type": "speech-encoder-decoder"},
        {"model_type": "vision-encoder-decoder"},
    ],
    ids=lambda data: f"{data['model_type']}-{len(data)}",
)
def test_an_encoder_decoder_is_known_by_its_type_or_its_parts(
    tmp_path: Path, data: dict[str, Any]
) -> None:
    """The library leaves out of config.json what is the default of the type."""
    assert "is an encoder-decoder model" in problem(of(tmp_path, data))


def test_the_decoder_of_an_encoder_decoder_runs_if_it_is_stored_alone(tmp_path: Path) -> None:
    import transformers

    tiny = transformers.AutoConfig.for_model("bart", **TINY)
    transformers.BartForCausalLM(tiny).save_pretrained(tmp_path)
    config = experiment(model=str(tmp_path), weights="pretrained")
    assert checked(config).problems == ()
    assert loaded(config).effective_config()["architecture"] == "BartForCausalLM"


@pytest.mark.parametrize("model_type", ["llava", "qwen2_vl", "idefics3", "clip", "whatever_next"])
def test_a_type_without_a_causal_class_is_refused_in_one_short_sentence(
    tmp_path: Path, model_type: str
) -> None:
    config = of(tmp_path, {"model_type": model_type, "vision_config": {}})
    message = problem_here(config)
    assert message == (
        f"model {tmp_path} is of type {model_type}, which the installed transformers cannot run as "
        "a causal language model; use a model of another type, or a newer transformers"
    )


def test_what_only_the_library_knows_is_one_short_sentence_too(tmp_path: Path) -> None:
    """Without a type, the library takes it from the name of the folder."""
    from llem_energy._backends.pytorch.loading import load_model

    (tmp_path / "clip-small").mkdir()
    named = of(tmp_path / "clip-small", {"vision_config": {}})
    nameless = of(tmp_path, {"vocab_size": 64})
    import torch

    for config in (named, nameless):
        with pytest.raises(BackendError) as caught:
            load_model(config, torch.device("cpu"))
        assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("model_type", "architecture"),
    [
        ("bert", "BertForMaskedLM"),
        ("roberta", "RobertaForMaskedLM"),
        ("bert", "BertForPreTraining"),
        ("llama", "LlamaForSequenceClassification"),
        ("qwen2", "Qwen2ForTokenClassification"),
    ],
)
def test_a_model_of_another_task_is_refused(
    tmp_path: Path, model_type: str, architecture: str
) -> None:
    config = of(tmp_path, {"model_type": model_type, "architectures": [architecture]})
    assert f"is a {architecture}, which was not trained to continue text" in problem(config)


def test_a_draft_model_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5", **TINY}))
    draft = {"batch_size": 1, "assistant_model": str(tmp_path)}
    assert f"model {tmp_path} is an encoder-decoder" in problem(experiment(pytorch=draft))


def test_a_model_with_its_own_code_names_the_option_that_allows_it(tmp_path: Path) -> None:
    code = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnForCausalLM"}
    data = {"model_type": "own", "auto_map": code}
    assert "set pytorch.trust_remote_code: true" in problem(of(tmp_path, data))
    trusted = of(tmp_path, data, pytorch={"trust_remote_code": True})
    assert checked(trusted).problems == ()


def test_a_causal_model_of_any_family_passes(tmp_path: Path) -> None:
    for model_type in ("llama", "gpt2", "mamba", "rwkv", "gemma3", "qwen3_next"):
        config = experiment(**random_model(tmp_path, model_type=model_type))
        assert checked(config).problems == ()


def test_one_model_of_the_wrong_kind_refuses_a_sweep_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5", **TINY}))
    report = checked(experiment(), experiment(model=str(tmp_path), weights="random"))
    (finding,) = report.problems
    assert finding.points == (1,)


def causal_types() -> list[str]:
    return sorted(causal_model_types() or ())


def test_exactly_the_encoders_among_all_causal_types_are_refused_by_default(tmp_path: Path) -> None:
    """All types that the library maps to a causal class, each with the defaults of its type."""
    import transformers

    refused: dict[str, list[str]] = {"encoder": [], "encoder-decoder": []}
    for model_type in causal_types():
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
        report = checked(experiment(model=str(tmp_path), weights="random"))
        messages = [finding.message for finding in report.problems]
        kind = transformers.CONFIG_MAPPING[model_type]
        is_both = (
            bool(getattr(kind(), "is_encoder_decoder", False)) if model_type != BROKEN else False
        )
        assert any("encoder-decoder" in message for message in messages) is is_both, model_type
        if any("an encoder that reads later tokens" in message for message in messages):
            refused["encoder"].append(model_type)
        elif is_both:
            refused["encoder-decoder"].append(model_type)
        else:
            assert messages == [], model_type
    assert refused["encoder"] == [
        "bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie",
        "megatron-bert", "reformer", "rembert", "roberta", "roberta-prelayernorm", "roc_bert",
        "roformer", "xlm", "xlm-roberta", "xlm-roberta-xl", "xmod",
    ]  # fmt: skip
    assert len(refused["encoder-decoder"]) >= 13


@pytest.mark.parametrize("names", [None, ["BertLMHeadModel"]])
def test_an_encoder_is_refused_in_pre_flight_and_in_the_run_unless_it_is_a_decoder(
    tmp_path: Path, names: list[str] | None
) -> None:
    bert = {"model_type": "bert", "architectures": names, **SMALL}
    message = problem(of(tmp_path, bert))
    assert message == (
        f"model {tmp_path} is of type bert, an encoder that reads later tokens too, because its "
        "config.json does not set is_decoder: true; use a causal model"
    )
    with pytest.raises(BackendError, match="an encoder that reads later tokens too"):
        loaded(of(tmp_path, bert))
    assert checked(of(tmp_path, bert | {"is_decoder": True})).problems == ()
    assert loaded(of(tmp_path, bert | {"is_decoder": True})).effective_config()["architecture"]


@pytest.mark.parametrize(
    ("changes", "is_causal"),
    [
        ({"model_type": "bert"}, False),
        ({"model_type": "bert", "is_decoder": True}, True),
        ({"model_type": "roberta"}, False),
        ({"model_type": "electra", "embedding_size": 32}, False),
        ({"model_type": "xlm", "n_words": 64, "emb_dim": 32, "n_heads": 4, "n_layers": 2}, False),
        ({"model_type": "gpt_neox"}, True),
        ({"model_type": "gpt2"}, True),
    ],
    ids=str,
)
def test_what_is_called_an_encoder_reads_later_tokens_indeed(
    changes: dict[str, Any], is_causal: bool
) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    # A two-layer model with large random weights, so that attention matters.
    architecture = transformers.AutoConfig.for_model(
        **(SMALL | {"initializer_range": 1.0} | changes)
    )
    model = transformers.AutoModelForCausalLM.from_config(architecture).eval()
    with torch.no_grad():
        first, second = (model(torch.tensor([[5, 6, last]])).logits[0, 0] for last in (7, 8))
    assert bool((first - second).abs().max() < 1e-5) is is_causal


def test_a_config_json_without_a_type_is_refused(tmp_path: Path) -> None:
    """The library would look for the name of any type in the path of the folder."""
    (tmp_path / "optimal").mkdir()
    assert problem(of(tmp_path / "optimal", SMALL)).endswith(
        "has no model_type in its config.json, so that transformers would guess it from the path; "
        "add the key"
    )


KERNELS = [
    {"attn_implementation": "someone/kernel"},
    {"_attn_implementation": "paged|someone/kernel@v1:fn"},
    {"_attn_implementation_internal": "someone/kernel"},
    {"experts_implementation": "someone/kernel"},
    {"attn_implementation": {"": "eager", "text_config": "someone/kernel"}},
    {"text_config": {"attn_implementation": "someone/kernel"}},
    {"some_next_implementation": "someone/kernel"},
]


@pytest.mark.parametrize("keys", KERNELS, ids=str)
def test_a_kernel_of_the_hub_in_config_json_needs_trust(
    tmp_path: Path, keys: dict[str, Any]
) -> None:
    data = {"model_type": "llama", **SMALL, **keys}
    assert "names a kernel of the hub in its config.json" in problem(of(tmp_path, data))
    with pytest.raises(BackendError, match="names a kernel of the hub"):
        loaded(of(tmp_path, data))
    assert checked(of(tmp_path, data, pytorch={"trust_remote_code": True})).problems == ()


@pytest.mark.parametrize(
    "options",
    [{"use_kernels": True}, {"kernel_config": {"a": "b/c"}}, {"experts_implementation": "a/b"}],
    ids=str,
)
def test_a_kernel_of_the_hub_in_passthrough_kwargs_needs_trust(options: dict[str, Any]) -> None:
    assert "runs code of the hub" in problem(experiment(passthrough_kwargs=options))
    trusted = experiment(passthrough_kwargs=options, pytorch={"trust_remote_code": True})
    assert check_files([trusted]) == ()


def test_a_library_attention_in_config_json_needs_no_trust(tmp_path: Path) -> None:
    data = {"model_type": "llama", **SMALL, "_attn_implementation": "eager"}
    assert checked(of(tmp_path, data)).problems == ()


def test_the_types_are_those_of_the_library_and_need_no_torch() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    program = (
        "import json, sys\n"
        "from llem_energy._backends.pytorch.library_source import causal_model_types\n"
        "print(json.dumps(sorted(causal_model_types())))\n"
        "assert not {'torch', 'transformers'} & {*sys.modules}"
    )
    assert json.loads(run_python(program)) == sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
