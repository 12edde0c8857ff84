"""What a message suggests: other tools' names, keys of other sections, lists, and no guesses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from pydantic import BaseModel

from llem_config import BACKENDS, ConfigError, ExperimentConfig, StudyConfig
from llem_config._loading.field_names import key_hint
from llem_config._spec.experiment import SECTIONS
from llem_config._spec.other_names import KEY_ADVICE, OTHER_KEYS, OTHER_VALUES
from llem_config._spec.study import ExecutionConfig
from llem_config.settings import Settings, load_settings, settings_path

Load = Callable[..., StudyConfig]
Faults = Callable[..., list[str]]
MODEL = "model: builtin:tiny-llama\n"

KEYS = [
    ("max_new_tokens: 64", "max_output_tokens"),
    ("gpu: 0", "pytorch.device"),
    ("use_cuda: true", "pytorch.device"),
    ("max_tokens: 64", "max_output_tokens"),
    ("maxNewTokens: 64", "max_output_tokens"),
    ("max_gen_toks: 64", "max_output_tokens"),
    ("seed: 1", "random_seed"),
    ("execution: {seed: 1}", "shuffle_seed"),
    ("dtype: float16", "precision"),
    ("torch_dtype: float16", "precision"),
    ("num_prompts: 8", "n"),
    ("num_samples: 8", "n"),
    ("limit: 8", "n"),
    ("batch_size: 8", "pytorch.batch_size"),
    ("batch-size: 8", "pytorch.batch_size"),
    ("batchsize: 8", "pytorch.batch_size"),
    ("pytorch.batch: 8", "batch_size"),
    ("temperature: 1", "decoder.temperature"),
    ("pytorch: {temperature: 1}", "decoder.temperature"),
    ("torch_compile: true", "pytorch.torch_compile"),
    ("load_in_4bit: true", "pytorch.load_in_4bit"),
    ("n_cycles: 3", "execution.n_cycles"),
    ("repeats: 3", "execution.n_cycles"),
    ("execution: {cycles: 3}", "n_cycles"),
    ("execution: {n_cycle: 3}", "n_cycles"),
    ("sweep: {batch_size: [1, 8]}", "pytorch.batch_size"),
    ("sweep: {temperature: [0, 1]}", "decoder.temperature"),
    ("sweep: {load_in_8bit: [true, false]}", "pytorch.load_in_8bit"),
    ("sweep: {n_cycles: [1, 2]}", "execution.n_cycles"),
    ("experiments: [{batch_size: 8}]", "pytorch.batch_size"),
    ("warmup: {runs: 3}", "n_warmup"),
    ("baseline: {duration: 3}", "duration_seconds"),
    ("dataset: {name: x}", "source"),
    ("lora: {adapter: x, path: y}", "adapter"),
    ("tensor_parallel_size: 2", "vllm.tensor_parallel_size"),
]


@pytest.mark.parametrize(("text", "key"), KEYS)
def test_an_unknown_key_names_the_key_that_does_it_here(
    faults: Faults, text: str, key: str
) -> None:
    (fault,) = faults(f"{MODEL}{text}\n")
    assert fault.endswith(f"; did you mean {key!r}?")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("decoder: {max_new_tokens: 64}", "max_output_tokens"),
        ("pytorch: {torch_dtype: float16}", "precision"),
        ("execution: {num_prompts: 8}", "n"),
    ],
)
def test_an_unknown_key_in_a_section_names_the_key_above_it(
    faults: Faults, text: str, key: str
) -> None:
    (fault,) = faults(f"{MODEL}{text}\n")
    assert fault.endswith(f"; did you mean {key!r} at the top level?")


def test_quantisation_names_the_field_of_each_backend(faults: Faults) -> None:
    (fault,) = faults(f"{MODEL}quantization: awq\n")
    assert fault.endswith(
        "did you mean 'pytorch.load_in_4bit', 'pytorch.load_in_8bit', 'vllm.quantization' or "
        "'tensorrt.quantization'?"
    )


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("max_length: 64", "by max_input_tokens and max_output_tokens"),
        ("max_model_len: 64", "by max_input_tokens and max_output_tokens"),
        ("token: x", "HF_TOKEN"),
        ("gpu_ids: [0]", "CUDA_VISIBLE_DEVICES"),
        ("results_dir: x", "output.results_dir"),
        ("execution.n_cycles: 3", "write `n_cycles: ...` in the section execution"),
    ],
)
def test_a_key_without_an_equal_here_comes_with_what_to_do(
    faults: Faults, text: str, advice: str
) -> None:
    (fault,) = faults(f"{MODEL}{text}\n")
    assert advice in fault


@pytest.mark.parametrize(
    "key", ["min_input_tokens", "max_context_tokens", "load_in_2bit", "tokenizer", "tasks", "bar"]
)
def test_a_key_with_another_meaning_is_never_suggested(faults: Faults, key: str) -> None:
    assert faults(f"{MODEL}{key}: 1\n") == [f"study.yaml:2:1: {key}: unknown key {key!r}"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("precision: float32", "fp32"),
        ("precision: half", "fp16"),
        ("precision: float16", "fp16"),
        ("precision: bfloat16", "bf16"),
        ("precision: torch.bfloat16", "bf16"),
        ("precision: 16", "fp16"),
        ("sweep: {precision: [fp16, BFloat16]}", "bf16"),
        ("pytorch: {device: gpu}", "cuda"),
        ("pytorch: {device: 'cuda:0'}", "cuda"),
        ("pytorch: {attn_implementation: fa2}", "flash_attention_2"),
        ("pytorch: {load_in_4bit: true, bnb_4bit_compute_dtype: bf16}", "bfloat16"),
        ("execution: {cycle_order: random}", "shuffled"),
        ("backend: transformers", "pytorch"),
        ("backend: trtllm", "tensorrt"),
        ("energy: {sources: [gpu]}", "nvml"),
        ("decoder: {preset: greedy}", "deterministic"),
    ],
)
def test_a_value_of_another_tool_names_ours(faults: Faults, text: str, value: str) -> None:
    (fault,) = faults(f"{MODEL}{text}\n")
    assert fault.endswith(f"; did you mean {value!r}?")


def test_every_name_in_the_table_of_other_tools_leads_to_a_field_of_ours() -> None:
    keys = {
        *ExperimentConfig.model_fields,
        *("sweep", "base", "experiments"),
        *(f"execution.{name}" for name in ExecutionConfig.model_fields),
        *(f"{name}.{field}" for name, model in SECTIONS.items() for field in model.model_fields),
    }
    assert {key for targets in OTHER_KEYS.values() for key in targets} <= keys
    assert not keys & {name for name in {*OTHER_KEYS, *KEY_ADVICE} if name not in SECTIONS}


def test_every_name_in_the_table_of_other_values_leads_to_a_value_of_ours() -> None:
    known = set(_choices(ExperimentConfig.model_json_schema())) | set(BACKENDS)
    known |= set(_choices(ExecutionConfig.model_json_schema()))
    assert {value for values in OTHER_VALUES.values() for value in values.values()} <= known


def _choices(schema: object) -> list[str]:
    if isinstance(schema, Mapping):
        names = [name for name in schema.get("enum", []) if isinstance(name, str)]
        return names + [name for part in schema.values() for name in _choices(part)]
    return [name for part in schema for name in _choices(part)] if isinstance(schema, list) else []


def test_the_table_is_asked_before_the_spelling() -> None:
    siblings = ["max_input_tokens", "max_output_tokens"]
    assert key_hint(("max_new_tokens",), siblings) == "; did you mean 'max_output_tokens'?"
    assert key_hint(("max_input_token",), siblings) == "; did you mean 'max_input_tokens'?"


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("pytorch.batch_size: 1, 2, 8", "write `pytorch.batch_size: [1, 2, 8]` in sweep"),
        ("pytorch.batch_size: 1 2 8", "write `pytorch.batch_size: [1, 2, 8]` in sweep"),
        ("pytorch.batch_size: [1, 2]", "write `pytorch.batch_size: [1, 2]` in sweep"),
        ("pytorch: {batch_size: [1, 2]}", "write `pytorch.batch_size: [1, 2]` in sweep"),
        ("sweep: {pytorch.batch_size: '1, 2'}", "write `pytorch.batch_size: [1, 2]` in sweep"),
        ("sweep: {pytorch: {batch_size: [1, 8]}}", "write `pytorch.batch_size: [1, 8]` in sweep"),
        ("sweep: {decoder: {temperature: [0, 1]}}", "write `decoder.temperature: [0, 1]` in sweep"),
        ("precision: fp16, bf16", "write `precision: [fp16, bf16]` in sweep"),
        ("n: 10,000", "found '10,000'; write 10000"),
        ("n: 1_000_000", "found '1_000_000'; write 1000000"),
        ("energy: {sources: none}", "; write [none]"),
        ("energy: {sources: 'nvml, rapl'}", "; write [nvml, rapl]"),
        ("decoder: {top_k: 0}", "found 0; to sample from all tokens, leave it out"),
        ("decoder: {top_k: -1}", "found -1; to sample from all tokens, leave it out"),
        ("decoder: {top_p: 0}", "for greedy decoding write decoder.temperature: 0"),
        ("decoder: {min_new_tokens: 0}", "to switch it off, leave it out"),
        ("pytorch: {no_repeat_ngram_size: 0}", "to switch it off, leave it out"),
        ("warmup: {n_warmup: 0}", "for no warm-up write warmup.enabled: false"),
        ("baseline: {duration_seconds: 0}", "write baseline.enabled: false"),
        (
            "sweep: {n: [1, 2]}\nexclude: [{n: [1, 2]}]",
            "expected a single value, found a list; write one rule per value: `- n: 1`",
        ),
    ],
)
def test_a_wrong_value_comes_with_what_to_write(faults: Faults, text: str, step: str) -> None:
    (fault,) = faults(f"{MODEL}{text}\n")
    assert fault.endswith(step)


def test_a_rule_may_have_a_list_where_the_field_is_a_list(load: Load) -> None:
    text = f"{MODEL}sweep: {{n: [1, 2]}}\nexclude: [{{energy.sources: [nvml, rapl], n: 1}}]\n"
    assert load(text).n_excluded == 1


HUGE = "1" + "0" * 20
ABSURD = [
    (f"n: {HUGE}", "expected a whole number >= 1 and <= 10000000, found "),
    (f"max_input_tokens: {HUGE}", "expected a whole number >= 1 and <= 10000000, found "),
    (f"max_output_tokens: {HUGE}", "expected a whole number >= 1 and <= 10000000, found "),
    (f"decoder: {{top_k: {HUGE}}}", "expected a whole number >= 1 and <= 10000000, found "),
    (f"decoder: {{min_new_tokens: {HUGE}}}", "expected a whole number >= 1 and <= 10000000, "),
    ("decoder: {temperature: 1e308}", "expected a number >= 0 and <= 1000, found 1e+308"),
    ("decoder: {repetition_penalty: 1e308}", "expected a number > 0 and <= 1000, found 1e+308"),
    (f"pytorch: {{batch_size: {HUGE}}}", "expected a whole number >= 1 and <= 10000000, found "),
    (f"warmup: {{max_warmup: {HUGE}}}", "expected a whole number >= 1 and <= 10000000, found "),
    ("warmup: {max_warmup_seconds: 1e308}", "expected a number > 0 and <= 31536000, found 1e+308"),
    ("baseline: {duration_seconds: 1e12}", "expected a number > 0 and <= 31536000, found "),
    ("energy: {min_window_seconds: 1e308}", "expected a number >= 0 and <= 31536000, found 1e+308"),
    (f"execution: {{n_cycles: {HUGE}}}", "expected a whole number >= 1 and <= 100000, found "),
    ("execution: {config_gap_seconds: 1e308}", "expected a number >= 0 and <= 31536000, found "),
    ("execution: {experiment_gap_seconds: 1e308}", "expected a number >= 0 and <= 31536000, "),
    ("execution: {cycle_gap_seconds: 1e308}", "expected a number >= 0 and <= 31536000, found "),
    ("execution: {timeout_seconds: 1e308}", "expected a number > 0 and <= 31536000, found 1e+308"),
    ("execution: {stall_seconds: 1e308}", "expected a number > 0 and <= 31536000, found 1e+308"),
    (f"execution: {{shuffle_seed: {HUGE}}}", "expected a whole number >= 0 and < 4294967296, "),
    (f"max_experiments: {HUGE}", "expected a whole number >= 1 and <= 10000000, found "),
    (f"vllm.max_num_seqs: {HUGE}\nbackend: vllm", "expected a whole number >= 1 and <= 10000000, "),
]


@pytest.mark.parametrize(("text", "problem"), ABSURD)
def test_an_absurd_number_is_a_mistake_that_names_the_limit(
    faults: Faults, text: str, problem: str
) -> None:
    (fault,) = faults(f"{MODEL}{text}\n")
    assert problem in fault


def test_every_number_has_a_limit_on_both_sides() -> None:
    models: list[type[BaseModel]] = [ExperimentConfig, ExecutionConfig, *SECTIONS.values()]
    unlimited = [
        (model.__name__, name)
        for model in models
        for name, field in model.model_json_schema()["properties"].items()
        for branch in field.get("anyOf", [field])
        if branch.get("type") in ("integer", "number")
        and not (
            {"minimum", "exclusiveMinimum"} & set(branch)
            and {"maximum", "exclusiveMaximum"} & set(branch)
        )
    ]
    assert unlimited == []


@pytest.mark.parametrize(
    "text",
    ["execution: {config_gap_seconds: 1e308}", "execution: {gap_at_most_seconds: 1e308}",
     "measurement: {datacenter_pue: 1e308}", "measurement: {electricity_price_kwh: 1e308}"],
)  # fmt: skip
def test_an_absurd_setting_is_a_mistake(text: str) -> None:
    write_settings(text + "\n")
    with pytest.raises(ConfigError, match="and <= "):
        load_settings()


def write_settings(text: str) -> None:
    settings_path().parent.mkdir(parents=True, exist_ok=True)
    settings_path().write_text(text)


@pytest.mark.parametrize(
    "text", ["", "\n", "# execution:\n", "---\n", "---\n# nothing\n...\n", "~\n", "execution:\n"]
)
def test_an_empty_settings_file_means_the_defaults(text: str) -> None:
    write_settings(text)
    assert load_settings() == Settings()


def test_the_null_device_as_settings_file_means_the_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLEM_CONFIG", "/dev/null")
    assert load_settings() == Settings()


def test_an_empty_variable_of_a_setting_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLEM_EXECUTION__CONFIG_GAP_SECONDS", "")
    monkeypatch.setenv("LLEM_DEVICES__GPUS", "")
    assert load_settings() == Settings()


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "~\n"])
def test_an_empty_study_is_a_mistake(faults: Faults, text: str) -> None:
    (fault,) = faults(text)
    assert "expected a mapping of keys" in fault


def test_a_group_with_the_name_of_a_section_has_advice(faults: Faults) -> None:
    text = (
        f"{MODEL}sweep: {{dataset: [{{dataset.source: a.jsonl}}, {{dataset.source: b.jsonl}}]}}\n"
    )
    for fault in faults(text):
        assert fault.endswith(
            "unknown key 'dataset.source'; in the section 'dataset' write 'source'; a group of "
            "a sweep needs another name"
        )
