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

TINY = {
    "vocab_size": 64, "d_model": 32, "hidden_size": 32, "intermediate_size": 64, "num_layers": 2,
    "num_hidden_layers": 2, "encoder_layers": 3, "decoder_layers": 2, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "num_attention_heads": 4, "num_heads": 4, "d_kv": 8, "d_ff": 64, "pad_token_id": 0,
    "max_position_embeddings": 64,
}  # fmt: skip
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
    """Return the only reason that the checks before the first run give."""
    report = checked(config)
    (finding,) = report.problems
    assert finding in report.expected_failures
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


def test_a_configuration_that_states_no_kind_is_recognised_by_its_sizes_or_in_the_run(
    tmp_path: Path,
) -> None:
    sizes = {"encoder_layers": 3, "decoder_layers": 2}
    assert "encoder-decoder" in problem(of(tmp_path, {"model_type": "bart", **sizes}))
    config = of(tmp_path, {"model_type": "bart", "d_model": 32, "vocab_size": 64})
    assert checked(config).problems == ()
    with pytest.raises(BackendError, match="encoder-decoder"):
        loaded(config)


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
    message = problem(config)
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


def test_a_sweep_over_models_runs_the_others(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5", **TINY}))
    report = checked(experiment(), experiment(model=str(tmp_path), weights="random"))
    assert report.problems == ()
    (finding,) = report.expected_failures
    assert finding.points == (1,)


def test_the_types_are_those_of_the_library_and_need_no_torch() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    program = (
        "import json, sys\n"
        "from llem_energy._backends.pytorch.model_kind import causal_model_types\n"
        "print(json.dumps(sorted(causal_model_types())))\n"
        "assert not {'torch', 'transformers'} & {*sys.modules}"
    )
    assert json.loads(run_python(program)) == sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
